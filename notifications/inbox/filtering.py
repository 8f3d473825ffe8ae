"""The parameters of the pages of the inbox: which items they list."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from urllib.parse import urlencode

from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from notifications.events import NotificationPriority
from notifications.models.inbox import InboxQuerySet

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_TEXT = 200
TAB_LABELS = {"all": _("All"), "unread": _("Unread"), "archived": _("Archived"), "snoozed": _("Snoozed")}
PRIORITIES = {item.name.lower(): item.value for item in NotificationPriority}
PRIORITY_LABELS = {"critical": _("critical"), "high": _("high"), "medium": _("medium"), "low": _("low")}


@dataclass(frozen=True)
class Position:
    """A place in the list: after an item.

    As a text it is ``<microseconds>-<id>``, the time of the item since 1970 and its id.
    """

    created_at: datetime
    item_id: int

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the position, or None if the text is malformed."""
        time, _separator, item_id = text.partition("-")
        if not all(number.isascii() and number.isdigit() and len(number) < 19 for number in (time, item_id)):
            return None
        try:
            return cls(EPOCH + timedelta(microseconds=int(time)), int(item_id))
        except OverflowError:
            return None

    def __str__(self) -> str:
        return f"{(self.created_at - EPOCH) // timedelta(microseconds=1)}-{self.item_id}"

    @property
    def is_passed(self) -> Q:
        """The condition of the items that follow in the list, which are older."""
        is_older = Q(created_at__lt=self.created_at) | Q(pk__lt=self.item_id)
        return Q(created_at__lte=self.created_at) & is_older


@dataclass(frozen=True)
class Filters:
    """What a user wants to see. Values that do not exist are ignored."""

    show: str = "all"
    event: str = ""
    topic: str = ""
    priority: str = ""
    cluster: str = ""
    q: str = ""

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> Self:
        """Return the filters of a query string."""
        given = {name: query.get(name, "").replace("\x00", "").strip()[:MAX_TEXT] for name in cls.__dataclass_fields__}
        given["show"] = given["show"] if given["show"] in TAB_LABELS else "all"
        given["priority"] = given["priority"] if given["priority"] in PRIORITIES else ""
        return cls(**given)

    @property
    def narrows(self) -> bool:
        """Whether it leaves out items of the tab."""
        return any((self.event, self.topic, self.priority, self.cluster, self.q))

    def format_query(self, **changes: Any) -> str:
        """Return the query string with these changes, without empty values."""
        changed = replace(self, **{name: value for name, value in changes.items() if hasattr(self, name)})
        values = {name: getattr(changed, name) for name in self.__dataclass_fields__}
        values["show"] = "" if values["show"] == "all" else values["show"]
        values |= {name: value for name, value in changes.items() if name not in values}
        return urlencode({name: value for name, value in values.items() if value})

    def narrow(self, items: InboxQuerySet, clusters: Mapping[str, Any], now: datetime) -> InboxQuerySet:
        """Return those of the items that the user wants to see, whatever words they contain.

        :param clusters: the clusters that the user sees, by their keys as texts.
        """
        chosen = self._choose_tab(items, now)
        if self.event:
            chosen = chosen.filter(event=self.event)
        if self.topic:
            chosen = chosen.filter(topic=self.topic)
        if self.priority:
            chosen = chosen.filter(priority=PRIORITIES[self.priority])
        if self.cluster:
            chosen = chosen.filter(cluster=clusters[self.cluster]) if self.cluster in clusters else chosen.none()
        return chosen

    def _choose_tab(self, items: InboxQuerySet, now: datetime) -> InboxQuerySet:
        if self.show == "archived":
            return items.archived()
        if self.show == "snoozed":
            return items.snoozed(now)
        return items.listed(now).unread() if self.show == "unread" else items.listed(now)
