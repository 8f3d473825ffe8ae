"""A page of the list: items in the order of days, where alike ones of a day are one entry."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import partial, reduce
from operator import or_
from typing import Any, NamedTuple

from django.db.models import Count, Q
from django.db.models.functions import TruncDate
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.text import Truncator
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

from notifications.events import NOTIFICATION_EVENTS, NotificationPriority
from notifications.events.inbox import is_image
from notifications.inbox.filtering import PRIORITY_LABELS, Position
from notifications.inbox.searching import search
from notifications.inbox.serializing import serialize_actions
from notifications.models import InboxItem
from notifications.models.inbox import InboxQuerySet
from notifications.sending.permission import has_permission

ENTRIES_PER_PAGE = 20
# Alike items need no line of their own, so a page may have more items than entries.
MAX_ITEMS = 100
# The items that all groups of a page list together.
MAX_GROUPED_ITEMS = 200
# The groups of the day in which a page begins that are known to be on the pages before.
MAX_PASSED_GROUPS = 200
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


class Group(NamedTuple):
    """Alike items of a day."""

    day: date
    cluster_id: Any
    event: str
    key: str

    @property
    def condition(self) -> Q:
        return _is_of_day(self.day) & Q(cluster=self.cluster_id, event=self.event, group_key=self.key)


def _is_of_day(day: date) -> Q:
    begin, end = (timezone.make_aware(datetime.combine(one, time())) for one in (day, day + timedelta(days=1)))
    return Q(created_at__gte=begin, created_at__lt=end)


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
    def snoozed_until(self) -> str:
        """The end of the snooze; empty if there is none or it has passed."""
        end = self.item.snoozed_until
        return date_format(timezone.localtime(end), "DATETIME_FORMAT") if end and end > self._viewer.now else ""

    @property
    def image(self) -> str:
        return self.item.icon if is_image(self.item.icon) else ""

    @property
    def symbol(self) -> str:
        return "" if self.image else self.item.icon

    @property
    def actions(self) -> list[dict[str, Any]]:
        """The actions that the user may take."""
        return serialize_actions(self.item, partial(has_permission, self._viewer.user))

    @property
    def action_taken(self) -> str:
        """The label of the action that the user has taken."""
        actions = self._event.inbox_actions if self._event else ()
        labels = {action.name: str(action.label) for action in actions}
        return labels.get(self.item.action_taken, self.item.action_taken)


@dataclass
class Entry:
    """One line of the list: an item, or alike items of a day, the newest first.

    :param group: what the items have in common; None if the entry is one item.
    :param count: the number of items of the day, which can be more than the rows.
    """

    rows: list[Row] = field(default_factory=list)
    group: Group | None = None
    count: int = 0

    @property
    def lead(self) -> Row:
        return self.rows[0]

    @property
    def is_group(self) -> bool:
        return self.count > 1

    @property
    def is_unread(self) -> bool:
        return any(row.is_unread for row in self.rows)

    @property
    def hidden(self) -> int:
        """The number of items that are not listed."""
        return self.count - len(self.rows)

    @property
    def ids(self) -> str:
        return ",".join(str(row.item.pk) for row in self.rows)

    @property
    def title(self) -> str:
        """The title of a group, such as "5 changes to your schedule"."""
        event = NOTIFICATION_EVENTS.named(self.lead.item.event)
        if event is not None and event.group_label:
            return str(event.group_label % {"count": self.count})
        return f"{self.count} × {self.lead.label}"


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


def load_listing(
    items: InboxQuerySet, viewer: Viewer, after: Position | None, has_pinned: bool, text: str = ""
) -> Listing:
    """Return a page of items. It takes up to four queries, and another one if the groups have very many items.

    With a text it takes up to eight, and another one.

    A group is on the page of its newest item, with all its items.

    :param after: where the page begins; None for the first one.
    :param text: the words that the items contain; empty for all items.
    """
    ordered = items.order_by("-created_at", "-pk").defer("encrypted")
    pinned = list(ordered.filter(priority=NotificationPriority.CRITICAL).unread()[:MAX_PINNED]) if has_pinned else []
    rest = ordered.exclude(pk__in=[item.pk for item in pinned]) if pinned else ordered
    matching = rest.scan(text) if text else rest
    following = rest.filter(after.is_passed, ~_is_in_any(_load_passed_groups(matching, after))) if after else rest
    found = search(following, text, viewer.user, MAX_ITEMS + 1) if text else list(following[: MAX_ITEMS + 1])
    days, count = arrange([Row(item, viewer) for item in found[:MAX_ITEMS]], viewer.now)
    complete_groups([entry for day in days for entry in day.entries if entry.group], matching, viewer)
    has_more = count < len(found)
    return Listing(
        [Entry([Row(item, viewer)], count=1) for item in pinned] if after is None else [],
        days,
        Position(found[count - 1].created_at, found[count - 1].pk) if has_more else None,
    )


def _load_passed_groups(items: InboxQuerySet, after: Position) -> list[Group]:
    """Return the groups that have items on the pages before a position and can have more after it."""
    day = timezone.localdate(after.created_at)
    passed = items.filter(_is_of_day(day)).exclude(after.is_passed).exclude(group_key="").order_by()
    keys = passed.values_list("cluster", "event", "group_key").distinct()[:MAX_PASSED_GROUPS]
    return [Group(day, *key) for key in keys]


def _is_in_any(groups: Iterable[Group]) -> Q:
    return reduce(or_, (group.condition for group in groups), Q(pk__in=()))


def arrange(rows: Iterable[Row], now: datetime) -> tuple[list[Day], int]:
    """Return the first entries by day, and the number of items in them."""
    days: dict[date, Day] = {}
    entries: dict[Any, Entry] = {}
    count = 0
    for row in rows:
        day = timezone.localdate(row.item.created_at)
        group = _find_group(row.item, day)
        key = group or row.item.pk
        if key not in entries:
            if len(entries) == ENTRIES_PER_PAGE:
                break
            entries[key] = Entry(group=group)
            days.setdefault(day, Day(_name_day(day, timezone.localdate(now)))).entries.append(entries[key])
        entries[key].rows.append(row)
        entries[key].count += 1
        count += 1
    return list(days.values()), count


def _find_group(item: InboxItem, day: date) -> Group | None:
    return Group(day, item.cluster_id, item.event, item.group_key) if item.group_key else None


def complete_groups(entries: Sequence[Entry], items: InboxQuerySet, viewer: Viewer) -> None:
    """Add the items of groups that are not among the newest items of the page."""
    if not entries:
        return
    members = items.filter(_is_in_any(entry.group for entry in entries if entry.group))
    found = list(members[: MAX_GROUPED_ITEMS + 1])
    rows: defaultdict[Group | None, list[Row]] = defaultdict(list)
    for item in found[:MAX_GROUPED_ITEMS]:
        rows[_find_group(item, timezone.localdate(item.created_at))].append(Row(item, viewer))
    counts = _count_members(members) if len(found) > MAX_GROUPED_ITEMS else {}
    for entry in entries:
        entry.rows = rows[entry.group] or entry.rows
        entry.count = counts.get(entry.group, len(entry.rows))


def _count_members(members: InboxQuerySet) -> dict[Group | None, int]:
    days = members.order_by().annotate(day=TruncDate("created_at"))
    counted = days.values_list("day", "cluster", "event", "group_key").annotate(count=Count("pk"))
    return {Group(*key): count for *key, count in counted}


def _name_day(day: date, today: date) -> str:
    if day == today:
        return _("Today")
    if day == today - timedelta(days=1):
        return _("Yesterday")
    return date_format(day, "DATE_FORMAT")
