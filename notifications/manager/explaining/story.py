"""What the log says of deliveries, in words."""

from collections import defaultdict
from collections.abc import Sequence

from notifications.manager.explaining.explanation import Happened
from notifications.models import Delivery, NotificationLog

MOST_ROWS = 200


def log_of(deliveries: Sequence[Delivery]) -> dict[int | None, list[NotificationLog]]:
    """What the log says of each, the oldest first; of very many rows the latest."""
    rows: dict[int | None, list[NotificationLog]] = defaultdict(list)
    ids = [delivery.pk for delivery in deliveries]
    latest = NotificationLog.objects.filter(delivery__in=ids).order_by("-pk")[:MOST_ROWS] if ids else ()
    for row in reversed(latest):
        rows[row.delivery_id].append(row)
    return rows


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
