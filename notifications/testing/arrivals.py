"""The results of a simulation, read from the log: arrivals, failed attempts and drops."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from notifications.channels.base import Rendered
from notifications.models import Delivery, InboxItem, NotificationLog

ADDRESS_FIELDS = ("recipient_key", "channel", "address")


@dataclass(frozen=True)
class Arrival:
    """A message that a provider accepted, or an inbox item.

    :param recipient: the user, or a bare address as a string.
    :param merged: the number of deliveries in a digest or batch; 0 for a single delivery.
    """

    at: datetime
    recipient: Any
    channel: str
    event: str
    title: str
    body: str
    merged: int = 0
    recipient_key: str = ""
    delivery_id: int | None = None

    @property
    def row(self) -> tuple[datetime, str, str, str, str]:
        count = f" ({self.merged} in one)" if self.merged else ""
        return self.at, str(self.recipient), self.channel, self.event, f"arrived: {self.title or self.body}{count}"


class RecipientNames:
    """The recipients of log rows: a user, or a bare address as a string.

    The log contains only masked addresses. The complete ones are in the deliveries of notifications after ``after``.
    """

    def __init__(self, after: int) -> None:
        queued = Delivery.objects.filter(notification_id__gt=after, recipient=None)
        self._by_channel = {(key, channel): address for key, channel, address in queued.values_list(*ADDRESS_FIELDS)}
        self._by_key = {key: address for (key, _), address in self._by_channel.items()}

    def get_name(self, row: NotificationLog) -> Any:
        key = row.recipient_key
        address = self._by_channel.get((key, row.channel)) or row.address
        return row.recipient or address or self._by_key.get(key, key)


def list_arrivals(after: int, texts: Mapping[int, Rendered], zone: ZoneInfo) -> list[Arrival]:
    """Return the arrivals of notifications with a primary key above ``after``, in chronological order."""
    rows = list(_query_log(after).filter(kind=NotificationLog.Kind.ATTEMPT, success=True))
    deliveries = Delivery.objects.filter(notification_id__gt=after)
    names = RecipientNames(after)
    merged = Counter(deliveries.exclude(merged_into=None).values_list("merged_into_id", flat=True))
    items = InboxItem.objects.filter(delivery_id__in=deliveries.values("pk"))
    contents = {pk: (title, body) for pk, title, body in items.values_list("delivery_id", "title", "body")}
    contents |= {pk: (rendered.subject, rendered.text) for pk, rendered in texts.items()}
    return [
        Arrival(
            row.sent_at.astimezone(zone),
            names.get_name(row),
            row.channel,
            row.event,
            *contents.get(row.delivery_id or 0, ("", "")),
            merged=merged[row.delivery_id],
            recipient_key=row.recipient_key,
            delivery_id=row.delivery_id,
        )
        for row in rows
    ]


def format_table(arrivals: Iterable[Arrival], after: int, zone: ZoneInfo) -> str:
    """Return a line for each arrival, failed attempt and drop, in chronological order."""
    others = _query_log(after).exclude(success=True)
    names = RecipientNames(after)
    lines = [arrival.row for arrival in arrivals] + [_make_row(row, names, zone) for row in others]
    lines.sort(key=lambda line: line[0])
    return _align_columns([(f"{at:%Y-%m-%d %H:%M:%S}", *rest) for at, *rest in lines])


def _query_log(after: int) -> Any:
    rows = NotificationLog.objects.filter(notification_id__gt=after)
    return rows.select_related("recipient", "personal").order_by("sent_at", "pk")


def _make_row(row: NotificationLog, names: RecipientNames, zone: ZoneInfo) -> tuple[datetime, str, str, str, str]:
    labels: dict[str, str] = {NotificationLog.Kind.DROP: "dropped", NotificationLog.Kind.NOTE: "note"}
    result = f"{labels.get(row.kind, 'failed')}: {row.reason} {row.error_message}"
    return row.sent_at.astimezone(zone), str(names.get_name(row)), row.channel, row.event, result


def _align_columns(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(" ".join(line.splitlines()).rstrip() for line in padded)
