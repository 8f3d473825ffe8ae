"""What a digest says about messages that are not in it: urgent ones, those that wait, and figures of the period."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Max, Q, QuerySet

from notifications.events import NotificationPriority
from notifications.models import Delivery, InboxItem, Notification
from notifications.outcomes import DeliveryState, Reason

PERIODS: Mapping[str, timedelta] = {
    Notification.DigestKind.DAILY: timedelta(days=1),
    Notification.DigestKind.WEEKLY: timedelta(days=7),
}
"""The usual period of each kind of digest. It ends when the digest is made."""
MAX_PERIOD = timedelta(days=31)
"""A user who chooses digests again after a year gets no list of the whole year."""
MAX_URGENT = 10
URGENT_ORDER = ("notification__priority", "-notification__created_at", "-pk")
SENT_ONE_BY_ONE = Q(state=DeliveryState.SENT, notification__digest_kind="")
NOT_SENT = (DeliveryState.DEAD, DeliveryState.DROPPED, DeliveryState.CANCELLED, DeliveryState.EXPIRED)
IN_QUIET_HOURS = Q(state=DeliveryState.HELD, reason=Reason.QUIET_HOURS)


@dataclass(frozen=True)
class Figures:
    """Figures of a period.

    :param sent: the notifications that were sent on the channel of the digest, one by one or in the digest.
    :param received: the notifications in the inbox.
    :param opened: those of the inbox that the user has read.
    """

    sent: int = 0
    received: int = 0
    opened: int = 0


def find_start(notification: Notification, channel: str, user: Any, oldest_item: datetime | None) -> datetime | None:
    """Return the start of the period of a digest for a user: the previous digest of its kind on the channel.

    Without one, it is the usual period or the oldest item, whichever is earlier. It is at most :data:`MAX_PERIOD` ago.
    It executes one query, or none and returns None for a batch or a recipient without an account.

    :param oldest_item: the creation of the oldest notification in the digest; None if it has none.
    """
    if user is None or notification.digest_kind not in PERIODS:
        return None
    previous = _find_deliveries(notification, user).filter(
        channel=channel,
        notification__digest_kind=notification.digest_kind,
        notification__created_at__lt=notification.created_at,
    )
    at: datetime | None = previous.exclude(state__in=NOT_SENT).aggregate(at=Max("notification__created_at"))["at"]
    if at is None:
        start = notification.created_at - PERIODS[notification.digest_kind]
        at = min(start, oldest_item or start)
    return max(at, notification.created_at - MAX_PERIOD)


def load_urgent(notification: Notification, channel: str, user: Any, since: datetime | None) -> list[Delivery]:
    """Return the urgent deliveries that were sent to a user one by one in the period of a digest.

    The critical ones come first, then the newest, so that none of them is left out if there are many.

    It executes one query, or none if the digest has no period.

    :param since: the start of the period, from :func:`find_start`.
    """
    if since is None:
        return []
    urgent = _find_deliveries(notification, user).filter(
        SENT_ONE_BY_ONE,
        channel=channel,
        notification__created_at__gte=since,
        notification__priority__lte=NotificationPriority.HIGH,
    )
    return list(urgent.select_related("notification").order_by(*URGENT_ORDER)[:MAX_URGENT])


def load_figures(
    notification: Notification, channel: str, user: Any, since: datetime | None, in_digest: int
) -> Figures:
    """Return the figures of the period of a digest, for a user.

    It executes two queries, or none if the digest has no period.

    :param since: the start of the period, from :func:`find_start`.
    :param in_digest: the number of notifications in the digest.
    """
    if since is None:
        return Figures()
    sent = _find_deliveries(notification, user).filter(
        SENT_ONE_BY_ONE, channel=channel, notification__created_at__gte=since
    )
    items = InboxItem.objects.using(notification._state.db).of(user)
    inbox = items.filter(cluster_id=notification.cluster_id, created_at__gte=since).aggregate(
        received=Count("pk"), opened=Count("read_at")
    )
    return Figures(sent.count() + in_digest, inbox["received"], inbox["opened"])


def count_quiet_backlog(notification: Notification, user: Any) -> list[tuple[str, int]]:
    """Return the events with notifications that wait for the end of quiet hours on any channel, each with their number.

    It executes one query, or none for a batch or a recipient without an account.
    """
    if user is None or notification.digest_kind not in PERIODS:
        return []
    events = _find_deliveries(notification, user).filter(IN_QUIET_HOURS).values_list("notification__event")
    counts = events.annotate(number=Count("notification", distinct=True))
    return list(counts.order_by("-number", "notification__event"))


def _find_deliveries(notification: Notification, user: Any) -> QuerySet[Delivery]:
    deliveries = Delivery.objects.using(notification._state.db)
    return deliveries.filter(recipient=user, notification__cluster=notification.cluster_id)
