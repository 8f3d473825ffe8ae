"""What came of a simulation, read from the log: what arrived, what was tried in vain, what was let go."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from notifications.channels.rendered import Rendered
from notifications.models import Delivery, InboxItem, NotificationLog

ADDRESSED = ("recipient_key", "channel", "address")


@dataclass(frozen=True)
class Arrival:
    """Something that a provider accepted, or an inbox got.

    :param recipient: the user; for a bare address, that as a text.
    :param merged: how many deliveries a digest or batch stands for; 0 for what came by itself.
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


class Names:
    """What to call those whom the log is about: a user, or a bare address as a text.

    The log has addresses in their masked form only. In full they stand at what was queued for them after ``after``.
    """

    def __init__(self, after: int) -> None:
        queued = Delivery.objects.filter(notification_id__gt=after, recipient=None)
        self._by_channel = {(key, channel): address for key, channel, address in queued.values_list(*ADDRESSED)}
        self._by_key = {key: address for (key, _), address in self._by_channel.items()}

    def of(self, row: NotificationLog) -> Any:
        key = row.recipient_key
        here = self._by_channel.get((key, row.channel)) or row.address
        return row.recipient or here or self._by_key.get(key, key)


def arrivals(after: int, texts: Mapping[int, Rendered], zone: ZoneInfo) -> list[Arrival]:
    """What arrived of the notifications younger than ``after``, in the order of time."""
    rows = list(_log(after).filter(kind=NotificationLog.Kind.ATTEMPT, success=True))
    deliveries = Delivery.objects.filter(notification_id__gt=after)
    names = Names(after)
    merged = Counter(deliveries.exclude(merged_into=None).values_list("merged_into_id", flat=True))
    items = InboxItem.objects.filter(delivery_id__in=deliveries.values("pk"))
    told = {pk: (title, body) for pk, title, body in items.values_list("delivery_id", "title", "body")}
    told |= {pk: (rendered.subject, rendered.text) for pk, rendered in texts.items()}
    return [
        Arrival(
            row.sent_at.astimezone(zone),
            names.of(row),
            row.channel,
            row.event,
            *told.get(row.delivery_id or 0, ("", "")),
            merged=merged[row.delivery_id],
            recipient_key=row.recipient_key,
            delivery_id=row.delivery_id,
        )
        for row in rows
    ]


def table(found: Iterable[Arrival], after: int, zone: ZoneInfo) -> str:
    """A line for each arrival, vain try and drop, in the order of time."""
    others = _log(after).exclude(success=True)
    names = Names(after)
    lines = [arrival.row for arrival in found] + [_row(row, names, zone) for row in others]
    lines.sort(key=lambda line: line[0])
    return _aligned([(f"{at:%Y-%m-%d %H:%M:%S}", *rest) for at, *rest in lines])


def _log(after: int) -> Any:
    rows = NotificationLog.objects.filter(notification_id__gt=after)
    return rows.select_related("recipient", "personal").order_by("sent_at", "pk")


def _row(row: NotificationLog, names: Names, zone: ZoneInfo) -> tuple[datetime, str, str, str, str]:
    words: dict[str, str] = {NotificationLog.Kind.DROP: "dropped", NotificationLog.Kind.NOTE: "note"}
    what = words.get(row.kind, "failed")
    who = str(names.of(row))
    return row.sent_at.astimezone(zone), who, row.channel, row.event, f"{what}: {row.reason} {row.error_message}"


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(" ".join(line.splitlines()).rstrip() for line in padded)
