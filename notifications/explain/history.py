"""What the log says of deliveries, in words."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from django.db.models import Q

from notifications.explain.explanation import Happened
from notifications.models import Delivery, NotificationLog

MOST_ROWS = 200


def log_of(deliveries: Sequence[Delivery]) -> dict[int | None, list[NotificationLog]]:
    """What the log says of each, the oldest first; of very many rows the latest."""
    rows: dict[int | None, list[NotificationLog]] = defaultdict(list)
    # Notes are written before their delivery has a key.
    by_place: dict[tuple[Any, str, str], int] = {
        (row.notification_id, row.recipient_key, row.channel): row.pk for row in deliveries
    }
    for row in reversed(_latest(deliveries)):
        place = row.notification_id, row.recipient_key, row.channel
        rows[row.delivery_id or by_place.get(place)].append(row)
    return rows


def _latest(deliveries: Sequence[Delivery]) -> list[NotificationLog]:
    if not deliveries:
        return []
    notifications, keys = zip(*{(row.notification_id, row.recipient_key) for row in deliveries}, strict=True)
    notes = Q(kind=NotificationLog.Kind.NOTE, notification__in=notifications, recipient_key__in=keys)
    rows = NotificationLog.objects.filter(Q(delivery__in=[row.pk for row in deliveries]) | notes)
    return list(rows.order_by("-pk")[:MOST_ROWS])


def happened(row: NotificationLog) -> Happened:
    return Happened(row.sent_at, _words(row))


def _words(row: NotificationLog) -> str:
    error = f": {row.error_message.removesuffix('.')}" if row.error_message else ""
    if row.kind == NotificationLog.Kind.RESENT:
        return f"It was sent again{error}."
    reason = row.get_reason_display()
    if row.kind == NotificationLog.Kind.ATTEMPT and row.success:
        return f"Attempt {row.attempt}: {row.provider or row.channel} accepted it."
    if row.kind == NotificationLog.Kind.ATTEMPT:
        return f"Attempt {row.attempt} by {row.provider or row.channel}: {reason}{error}."
    return f"{row.get_kind_display().capitalize()}: {reason}{error}."
