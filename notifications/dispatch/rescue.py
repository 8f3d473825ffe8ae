"""Taking back what a lost worker left behind."""

from collections import Counter
from datetime import datetime

from django.db import transaction

from notifications.dispatch.attempt import tell
from notifications.dispatch.record import Attempted, attempt_row, retry_or_dead
from notifications.events import NOTIFICATION_EVENTS
from notifications.models import Delivery, Notification, NotificationLog
from notifications.models.outbox import Settlement
from notifications.outcomes import DeliveryState, Receipt, Verdict


def rescue(using: str, now: datetime) -> Counter[str]:
    """Release rows whose lease ran out, and decide about those that may have been sent.

    ``on_unknown="retry"`` goes on with the schedule; ``"hold"`` leaves the row *unknown* until a person decides.
    """
    with transaction.atomic(using=using):
        rows = Delivery.objects.using(using).release_expired(now)
        if not rows:
            return Counter()
        _attach_notifications(rows, using)
        lost = [row for row in rows if row.state in (DeliveryState.UNKNOWN, DeliveryState.DEAD)]
        NotificationLog.objects.using(using).append(_lost_row(row, now) for row in lost)
        decided = {row.pk: _decision(row, now) for row in lost if _may_retry(row)}
        Delivery.objects.using(using).settle(list(decided.values()), now)
        for row in lost:
            tell(row, decided.get(row.pk) or _as_it_is(row), using)
    return Counter(row.state for row in rows)


def _attach_notifications(rows: list[Delivery], using: str) -> None:
    known = Notification.objects.using(using).select_related("cluster").in_bulk({row.notification_id for row in rows})
    for row in rows:
        row.notification = known[row.notification_id]


def _lost_row(row: Delivery, now: datetime) -> NotificationLog:
    receipt = Receipt(None, Verdict.UNKNOWN, error="The worker that was sending this stopped answering.")
    return attempt_row(Attempted(row, receipt, 0.0), row.reason, now)


def _may_retry(row: Delivery) -> bool:
    event = NOTIFICATION_EVENTS.named(row.notification.event)
    return row.state == DeliveryState.UNKNOWN and (event is None or event.on_unknown == "retry")


def _as_it_is(row: Delivery) -> Settlement:
    return Settlement(row.pk, row.fence, row.state, row.state, row.reason)


def _decision(row: Delivery, now: datetime) -> Settlement:
    state, due_at = retry_or_dead(row, NOTIFICATION_EVENTS.named(row.notification.event), now)
    return Settlement(row.pk, row.fence, DeliveryState.UNKNOWN, state, row.reason, due_at)
