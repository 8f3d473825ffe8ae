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
    if request.event.priority == NotificationPriority.CRITICAL:
        return True
    waiting = Delivery.objects.using(using)
    configured = conf.current()
    mine = waiting.filter(notification__cluster=request.cluster)
    return _fits(request, waiting, configured.queue_limit, now) and _fits(
        request, mine, configured.cluster_queue_limit, now
    )


def _fits(request: Request, waiting: DeliveryQuerySet, limit: int, now: datetime) -> bool:
    if not limit:
        return True
    over = sum(waiting.extra(where=[states]).count() for states in IN_INDEXES) + 1 - limit  # noqa: S610 - our own words
    if over <= 0:
        return True
    return conf.current().queue_full == "shed" and _shed(request, waiting, over, now)


def _shed(request: Request, waiting: DeliveryQuerySet, count: int, now: datetime) -> bool:
    """Drop the lowest of what is less urgent than this send; all that is needed, or nothing."""
    lower = waiting.filter(Q(state="held") | Q(state="ready"), score__lt=request.priority.band[0])
    victims = list(lower.select_related("notification").order_by("score", "-pk")[:count])
    if len(victims) < count:
        return False
    kept = {victim.pk: victim for victim in victims}
    gone = waiting.filter(pk__in=kept).shed(now)
    drop = NotificationLog.Kind.DROP
    rows = [NotificationLog.of(kept[pk], drop, now, reason=Reason.SHED) for pk in gone]
    NotificationLog.objects.using(waiting.db).append(rows)
    return True
