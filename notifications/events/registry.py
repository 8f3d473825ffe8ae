"""The registry of events, by members of enums."""

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import replace
from enum import Enum
from typing import Any

from django.utils.module_loading import autodiscover_modules

from notifications.conf.problem import find_nearest
from notifications.events.enums import key_of
from notifications.events.event import NotificationEvent
from notifications.exceptions import UnknownEvent

MAX_LISTED_EVENTS = 10


class EventRegistry(MutableMapping[Enum, NotificationEvent]):
    """A mapping from enum members to their :class:`NotificationEvent`.

    It keeps every registration, so that checks can report duplicates.
    """

    def __init__(self) -> None:
        self._events: dict[Enum, NotificationEvent] = {}
        self._by_name: dict[str, NotificationEvent] = {}
        self.registrations: list[tuple[Enum, NotificationEvent]] = []

    def __getitem__(self, member: Enum) -> NotificationEvent:
        return self._events[member]

    def __setitem__(self, member: Enum, event: NotificationEvent) -> None:
        if not isinstance(member, Enum) or not isinstance(event, NotificationEvent):
            raise TypeError(
                "Register a member of an Enum with its event, as in register(ShopEvents.ORDER_SHIPPED, "
                f"NotificationEvent(…)), not {member!r:.80} with {event!r:.80}."
            )
        event = _set_name(event, member)
        replaced = self._events.get(member)
        if replaced is not None:
            self._by_name.pop(key_of(replaced.name), None)
        self.registrations.append((member, event))
        self._events[member] = event
        self._by_name[key_of(event.name)] = event

    def __delitem__(self, member: Enum) -> None:
        event = self._events.pop(member)
        self._by_name.pop(key_of(event.name), None)
        self.registrations = [entry for entry in self.registrations if entry[0] is not member]

    def __iter__(self) -> Iterator[Enum]:
        return iter(self._events)

    def __len__(self) -> int:
        return len(self._events)

    def named(self, name: str) -> NotificationEvent | None:
        """Return the event of this name, ignoring case, or None if it is not registered."""
        return self._by_name.get(key_of(name))

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Undo all changes of the block to the registry at its end. A context manager."""
        events, by_name, registrations = self._events.copy(), self._by_name.copy(), self.registrations.copy()
        try:
            yield
        finally:
            self._events, self._by_name, self.registrations = events, by_name, registrations

    def find(self, event_name: Enum | str) -> NotificationEvent:
        """Return the event of an enum member or of a name.

        :raises UnknownEvent: if the event is not registered.
        """
        event = self._events.get(event_name) if isinstance(event_name, Enum) else self.named(event_name)
        if event is None:
            raise UnknownEvent(
                f"No notification event is registered as {event_name!r:.80}. {self._suggest_fix(event_name)}"
            )
        return event

    def _suggest_fix(self, event_name: Any) -> str:
        if isinstance(event_name, NotificationEvent):
            return "Pass the member of the Enum with which it is registered, or its name."
        if not isinstance(event_name, Enum | str):
            return "Pass a member of an Enum of events, or the name of an event."
        advice = "register it in a notification_events.py of an installed app."
        if isinstance(event_name, str) and (near := find_nearest(event_name, self._by_name)):
            return f"Did you mean {near!r}? If not, {advice}"
        known = sorted(self._by_name)
        more = f" and {len(known) - MAX_LISTED_EVENTS} more" if known[MAX_LISTED_EVENTS:] else ""
        return f"{advice.capitalize()} Known events: {', '.join(known[:MAX_LISTED_EVENTS])}{more}."


def _set_name(event: NotificationEvent, member: Enum) -> NotificationEvent:
    """Return the event, named after the member if it has no name.

    :raises TypeError: if it has no name, and the value of the member is not a non-empty text.
    """
    if event.name:
        return event
    if not isinstance(member.value, str) or not member.value:
        raise TypeError(
            f"The value of {type(member).__name__}.{member.name} is the name of its event, so it must be a text, not "
            f"{member.value!r:.80}."
        )
    return replace(event, name=member.value)


NOTIFICATION_EVENTS = EventRegistry()


def register(member: Enum, event: NotificationEvent) -> None:
    """Add an event to the registry; the same as ``NOTIFICATION_EVENTS[member] = event``.

    If the event has no name, the registry stores a copy of it that is named after the member.

    :raises TypeError: if these are not a member of an enum and an event, or the event has no name and the value of the
        member is not a text.
    """
    NOTIFICATION_EVENTS[member] = event


def autodiscover() -> None:
    """Import ``notification_events`` of every installed app."""
    autodiscover_modules("notification_events")
