"""The bound on what waits: when the outbox is full, a send is refused whole, or the least urgent makes room.

A CRITICAL event is never refused and never shed, and one send is never cut in half: the depth is looked at once, before
it. Off unless ``QUEUE_LIMIT`` or ``CLUSTER_QUEUE_LIMIT`` is set; then each send counts what waits.
"""

from datetime import datetime

from django.db.models import Q

from notifications import conf
from notifications.events import NotificationPriority
from notifications.manager.request import Request
from notifications.models import Delivery, NotificationLog
from notifications.models.delivery import DeliveryQuerySet
from notifications.outcomes import Reason

# As literals, so that the partial indexes serve: together they are all that waits.
IN_INDEXES = (
    "klaxon_delivery.state = 'ready'",
    "klaxon_delivery.state IN ('held', 'retry') AND klaxon_delivery.reason NOT IN ('batch', 'digest')",
    "klaxon_delivery.state = 'held' AND klaxon_delivery.reason IN ('batch', 'digest')",
)


def has_room(request: Request, using: str, now: datetime) -> bool:
    """Whether this send may be queued; with ``QUEUE_FULL`` set to shed, after making room."""
    victims = to_shed(request, using)
    if victims:
        _shed(victims, using, now)
    return victims is not None


def to_shed(request: Request, using: str) -> list[Delivery] | None:
    """What must go so that this send may be queued: nothing where there is room, None where none can be made."""
    if request.event.priority == NotificationPriority.CRITICAL:
        return []
    waiting = Delivery.objects.using(using)
    configured = conf.current()
    in_all = _victims(request, waiting, configured.queue_limit)
    if in_all is None or not configured.cluster_queue_limit:
        return in_all
    mine = waiting.filter(notification__cluster=request.cluster).exclude(pk__in=[victim.pk for victim in in_all])
    in_its_cluster = _victims(request, mine, configured.cluster_queue_limit)
    return None if in_its_cluster is None else [*in_all, *in_its_cluster]


def _victims(request: Request, waiting: DeliveryQuerySet, limit: int) -> list[Delivery] | None:
    """The lowest of what is less urgent than this send; all that is needed, or None."""
    if not limit:
        return []
    over = sum(waiting.extra(where=[states]).count() for states in IN_INDEXES) + 1 - limit  # noqa: S610 - our own words
    if over <= 0:
        return []
    if conf.current().queue_full != "shed":
        return None
    lower = waiting.filter(Q(state="held") | Q(state="ready"), score__lt=request.priority.band[0])
    found = list(lower.select_related("notification").order_by("score", "-pk")[:over])
    return found if len(found) == over else None


def _shed(victims: list[Delivery], using: str, now: datetime) -> None:
    kept = {victim.pk: victim for victim in victims}
    gone = Delivery.objects.using(using).filter(pk__in=kept).shed(now)
    drop = NotificationLog.Kind.DROP
    rows = [NotificationLog.of(kept[pk], drop, now, reason=Reason.SHED) for pk in gone]
    NotificationLog.objects.using(using).append(rows)
