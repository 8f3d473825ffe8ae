"""A page of the list: items in the order of days, where alike ones of a day are one entry."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.text import Truncator
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

from notifications.events import NOTIFICATION_EVENTS, NotificationPriority
from notifications.events.inbox import is_image
from notifications.inbox.filtering import PRIORITY_LABELS, Position
from notifications.inbox.serializing import serialize_actions
from notifications.models import InboxItem
from notifications.models.inbox import InboxQuerySet

ENTRIES_PER_PAGE = 20
# Alike items need no line of their own, so a page may have more items than entries.
MAX_ITEMS = 100
MAX_PINNED = 5
PREVIEW_LENGTH = 160
# Other priorities are not worth a word in each line.
SHOWN_PRIORITIES = ("critical", "high")


class Viewer(NamedTuple):
    """The user who sees a page, and when.

    :param cluster_names: the names of the clusters that the user sees, by key.
    """

    user: Any
    now: datetime
    cluster_names: dict[Any, str]


class Row:
    """An item as a template shows it."""

    def __init__(self, item: InboxItem, viewer: "Viewer") -> None:
        self.item = item
        self.cluster_name = viewer.cluster_names.get(item.cluster_id, "")
        self._viewer = viewer
        self._event = NOTIFICATION_EVENTS.named(item.event)

    @property
    def label(self) -> str:
        """The name of the event for users."""
        return self._event.words if self._event else self.item.event

    @property
    def title(self) -> str:
        return self.item.title or self.label

    @property
    def preview(self) -> str:
        return Truncator(" ".join(self.item.body.split())).chars(PREVIEW_LENGTH)

    @property
    def is_unread(self) -> bool:
        return self.item.read_at is None

    @property
    def priority(self) -> str:
        """The name of the priority, if it is worth a word."""
        return str(PRIORITY_LABELS[self.priority_name]) if self.priority_name in SHOWN_PRIORITIES else ""

    @property
    def priority_name(self) -> str:
        return NotificationPriority(self.item.priority).name.lower()

    @property
    def when(self) -> str:
        """The time of an item: relative if it is of today, otherwise the time of day."""
        created = timezone.localtime(self.item.created_at)
        if created.date() != timezone.localdate(self._viewer.now) or created > self._viewer.now:
            return date_format(created, "TIME_FORMAT")
        if self._viewer.now - created < timedelta(minutes=1):
            return _("now")
        return _("%(time)s ago") % {"time": timesince(created, self._viewer.now, depth=1)}

    @property
    def exact_time(self) -> str:
        return date_format(timezone.localtime(self.item.created_at), "DATETIME_FORMAT")

    @property
    def image(self) -> str:
        return self.item.icon if is_image(self.item.icon) else ""

    @property
    def symbol(self) -> str:
        return "" if self.image else self.item.icon

    @property
    def actions(self) -> list[dict[str, Any]]:
        """The actions that the user may take."""
        return serialize_actions(self.item, self._viewer.user)

    @property
    def action_taken(self) -> str:
        """The label of the action that the user has taken."""
        actions = self._event.inbox_actions if self._event else ()
        labels = {action.name: str(action.label) for action in actions}
        return labels.get(self.item.action_taken, self.item.action_taken)


@dataclass
class Entry:
    """One line of the list: an item, or alike items of a day, the newest first."""

    rows: list[Row] = field(default_factory=list)

    @property
    def lead(self) -> Row:
        return self.rows[0]

    @property
    def is_group(self) -> bool:
        return len(self.rows) > 1

    @property
    def is_unread(self) -> bool:
        return any(row.is_unread for row in self.rows)

    @property
    def ids(self) -> str:
        return ",".join(str(row.item.pk) for row in self.rows)

    @property
    def title(self) -> str:
        """The title of a group, such as "5 changes to your schedule"."""
        event, count = NOTIFICATION_EVENTS.named(self.lead.item.event), len(self.rows)
        if event is not None and event.group_label:
            return str(event.group_label % {"count": count})
        return f"{count} × {self.lead.label}"


@dataclass
class Day:
    """The entries of a day, the newest first."""

    name: str
    entries: list[Entry] = field(default_factory=list)


@dataclass
class Listing:
    """A page of the list.

    :param pinned: unread critical items, which are listed first.
    :param next: the position of the next page; None on the last one.
    """

    pinned: list[Entry]
    days: list[Day]
    next: Position | None

    @property
    def rows(self) -> list[Row]:
        entries = [*self.pinned, *(entry for day in self.days for entry in day.entries)]
        return [row for entry in entries for row in entry.rows]


def load_listing(items: InboxQuerySet, viewer: Viewer, after: Position | None, has_pinned: bool) -> Listing:
    """Return a page of items with one query, or two if it can have pinned items.

    :param after: where the page begins; None for the first one.
    """
    ordered = items.order_by("-created_at", "-pk").defer("encrypted")
    pinned = list(ordered.filter(priority=NotificationPriority.CRITICAL).unread()[:MAX_PINNED]) if has_pinned else []
    rest = ordered.exclude(pk__in=[item.pk for item in pinned]) if pinned else ordered
    found = list((rest.filter(after.is_passed) if after else rest)[: MAX_ITEMS + 1])
    shown = [Row(item, viewer) for item in found[:MAX_ITEMS]]
    days, count = arrange(shown, viewer.now)
    has_more = count < len(found)
    return Listing(
        [Entry([Row(item, viewer)]) for item in pinned] if after is None else [],
        days,
        Position(found[count - 1].created_at, found[count - 1].pk) if has_more else None,
    )


def arrange(rows: Iterable[Row], now: datetime) -> tuple[list[Day], int]:
    """Return the first entries by day, and the number of items in them."""
    days: dict[date, Day] = {}
    entries: dict[Any, Entry] = {}
    count = 0
    for row in rows:
        day = timezone.localdate(row.item.created_at)
        key = _find_group(row, day)
        if key not in entries:
            if len(entries) == ENTRIES_PER_PAGE:
                break
            entries[key] = Entry()
            days.setdefault(day, Day(_name_day(day, timezone.localdate(now)))).entries.append(entries[key])
        entries[key].rows.append(row)
        count += 1
    return list(days.values()), count


def _find_group(row: Row, day: date) -> tuple[Any, ...]:
    item = row.item
    return (day, item.cluster_id, item.event, item.group_key) if item.group_key else (item.pk,)


def _name_day(day: date, today: date) -> str:
    if day == today:
        return _("Today")
    if day == today - timedelta(days=1):
        return _("Yesterday")
    return date_format(day, "DATE_FORMAT")
