"""Events: the kinds of things that happen, declared in code.

A host keeps an enum of names (so that a typo is an error) and a registry that says how each is handled. The two stay
separate things; the system checks hold them together.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Any

from django.utils.module_loading import autodiscover_modules

from notifications.exceptions import UnknownEvent
from notifications.rates import rate

Transform = Callable[[dict[str, Any]], dict[str, Any]]
Urgency = Callable[[dict[str, Any]], int]

PERMISSION = re.compile(r"[^\W\d]\w*\.\S+")


class NotificationPriority(IntEnum):
    """How urgent an event is. CRITICAL reaches even those who opted out."""

    CRITICAL = 1
    HIGH = 2
    MEDIUM = 3
    LOW = 4

    @property
    def band(self) -> tuple[int, int]:
        """The lowest and highest score (0-100) of this priority."""
        return BANDS[self]

    @property
    def middle(self) -> int:
        """The score of what is neither more nor less urgent than its like."""
        return sum(self.band) // 2


BANDS = {
    NotificationPriority.CRITICAL: (90, 100),
    NotificationPriority.HIGH: (70, 89),
    NotificationPriority.MEDIUM: (30, 69),
    NotificationPriority.LOW: (0, 29),
}

LONGEST_DEDUP_WINDOW = 24 * 60 * 60
BATCH_WINDOWS = (5 * 60, 60 * 60)

LEVELS = {
    "critical": NotificationPriority.CRITICAL,
    "warning": NotificationPriority.HIGH,
    "info": NotificationPriority.MEDIUM,
    "debug": NotificationPriority.LOW,
}


class NotificationChannel(Enum):
    """The channels that Klaxon has a word for. A host may use any other name that its settings define."""

    EMAIL = "email"
    SMS = "sms"
    WEBSOCKET = "websocket"
    APP = "app"
    WEBHOOK = "webhook"
    PUSH = "push"
    SLACK = "slack"
    DISCORD = "discord"
    TEAMS = "teams"
    PUSHOVER = "pushover"
    VOICE = "voice"
    LOG = "log"


def key_of(word: Enum | str) -> str:
    """The one spelling under which a channel, event or category is stored and looked up."""
    return str(word.value if isinstance(word, Enum) else word).strip().lower()


@dataclass(frozen=True)
class NotificationEvent:
    """How one kind of event is handled.

    :param name: the value of the enum member that it is registered under.
    :param priority: decides the order of sending; CRITICAL reaches those who opted out.
    :param supported_channels: members of :class:`NotificationChannel`, or names of a host's own channels.
    :param context: what ``send()`` must be given. ``None`` (the default) takes any serialisable mapping, ``{}`` takes
        nothing, else names with types: ``{"order_number": str, "eta": date, "note": str | None}``.
    :param label: what a digest calls it before its recipient, such as ``_("Your orders")``; the name unless given.
    :param category: groups events for preferences, such as ``"billing"``.
    :param loggable: context keys that may be copied into the log; all others stay out of it.
    :param transforms: by channel, a function from the context to the variables that its templates get besides.
    :param retry_delays: seconds before each further try, overriding the channel's and the site's.
    :param on_unknown: what to do when contact was lost after the provider may have accepted: ``"retry"`` (at least
        once) or ``"hold"`` (at most once, for one-time codes).
    :param fallback: by channel, the channel that takes over when that one is exhausted: ``{"sms": "email"}``. It needs
        not be supported besides; if it is, nobody gets the same twice.
    :param limit: how often one user gets it, such as ``"10/h"``; overrides ``LIMITS["user_event"]`` of the settings.
    :param over_limit: what becomes of it beyond a limit: ``"wait"`` or, but for CRITICAL events, ``"drop"``.
    :param dedup_window: seconds, up to 86,400 (a day), in which the same is sent to a recipient only once; 0 is off.
    :param dedup_keys: the context keys that make it the same; with none, the event alone does.
    :param score: where within the band of its priority it begins; the middle unless given.
    :param urgency: a pure function from the context to a whole number that is added to the score, once for each
        ``send()``. The sum stays within the band. If it fails, that is logged and nothing is added.
    :param permission: one that the ``actor`` of a ``send()`` must have, such as ``"shop.raise_alarm"``.
    :param ignores_quiet_hours: it waits for neither quiet hours nor delivery windows, as CRITICAL events never do.
    :param batch_window: seconds, 300 to 3600, in which what one recipient would get becomes one message; ``"default"``
        is 15 minutes, for LOW events an hour; 0 is off. CRITICAL events have none.
    :param digest: whether it may wait for the digest of a user who has one. Unless told, MEDIUM and LOW events do, but
        for those with ``on_unknown="hold"``. CRITICAL events never do.
    :raises ValueError, TypeError: if a value cannot work; the message names the event.
    """

    name: str
    priority: NotificationPriority
    supported_channels: Iterable[NotificationChannel | str]
    context: Mapping[str, Any] | None = None
    category: str = ""
    loggable: tuple[str, ...] = ()
    transforms: Mapping[NotificationChannel | str, Transform] = field(default_factory=dict)
    retry_delays: tuple[float, ...] | None = None
    on_unknown: str = "retry"
    fallback: Mapping[NotificationChannel | str, NotificationChannel | str] = field(default_factory=dict)
    limit: str | None = None
    over_limit: str = "wait"
    dedup_window: float = 0
    dedup_keys: tuple[str, ...] = ()
    score: int | None = None
    urgency: Urgency | None = None
    permission: str = ""
    ignores_quiet_hours: bool = False
    label: Any = ""
    batch_window: float | str = 0
    digest: bool | None = None

    def __post_init__(self) -> None:
        if self.on_unknown not in ("retry", "hold"):
            raise ValueError(f'on_unknown of event {self.name!r} must be "retry" or "hold", not {self.on_unknown!r}.')
        self._check_limit()
        for name in ("supported_channels", "loggable", "dedup_keys"):
            if isinstance(getattr(self, name), str | Enum):
                raise TypeError(f"{name} of event {self.name!r} must be a list, not one alone.")
        if not isinstance(self.name, str) or not self.name:
            raise TypeError(f"The name of an event must be a text, not {self.name!r}.")
        object.__setattr__(self, "priority", NotificationPriority(self.priority))
        object.__setattr__(self, "supported_channels", tuple(self.supported_channels))
        object.__setattr__(self, "category", key_of(self.category))
        transforms = {key_of(channel): function for channel, function in self.transforms.items()}
        object.__setattr__(self, "transforms", transforms)
        fallback = {key_of(channel): key_of(other) for channel, other in self.fallback.items()}
        object.__setattr__(self, "fallback", fallback)
        if not self.channels:
            raise ValueError(f"Event {self.name!r} supports no channel, so it would reach nobody.")
        if len(self.name) > 100 or any(len(channel) > 50 for channel in self.channels):
            raise ValueError(f"{self.name!r:.120}: an event's name may have 100 characters, a channel's 50.")
        self._check_score()
        self._check_fallback()
        self._check_permission()
        self._check_dedup()
        self._check_waiting()

    def _check_fallback(self) -> None:
        for channel in self.fallback:
            if channel not in {*self.channels, *self.fallback.values()}:
                raise ValueError(f"fallback of event {self.name!r} names {channel!r}, which it does not support.")
            chain = [str(channel)]
            while chain[-1] in self.fallback:
                chain.append(str(self.fallback[chain[-1]]))
                if chain[-1] == channel:
                    raise ValueError(f"fallback of event {self.name!r} goes round in a circle: {' -> '.join(chain)}.")

    def _check_score(self) -> None:
        low, high = self.priority.band
        if self.score is not None and (type(self.score) is not int or not low <= self.score <= high):
            raise ValueError(
                f"score of event {self.name!r} must be a whole number from {low} to {high}, the band of "
                f"{self.priority.name}, not {self.score!r}."
            )
        if self.urgency is not None and not callable(self.urgency):
            raise TypeError(f"urgency of event {self.name!r} must be a function of the context, not {self.urgency!r}.")

    def _check_dedup(self) -> None:
        window = self.dedup_window
        if type(window) not in (int, float) or not 0 <= window <= LONGEST_DEDUP_WINDOW:
            raise ValueError(
                f"dedup_window of event {self.name!r} must be seconds from 0 (off) to {LONGEST_DEDUP_WINDOW}, "
                f"not {window!r}."
            )
        object.__setattr__(self, "dedup_keys", tuple(self.dedup_keys))
        unknown = [key for key in self.dedup_keys if self.context is not None and key not in self.context]
        if unknown:
            raise ValueError(f"dedup_keys of event {self.name!r} names {unknown[0]!r}, which its context has not.")

    def _check_waiting(self) -> None:
        window, (shortest, longest) = self.batch_window, BATCH_WINDOWS
        number = type(window) in (int, float) and (window == 0 or shortest <= float(window) <= longest)
        if not number and window != "default":
            raise ValueError(
                f"batch_window of event {self.name!r} must be seconds from {shortest} to {longest}, 0 (off) "
                f'or "default", not {window!r}.'
            )
        if self.digest not in (None, True, False):
            raise ValueError(f"digest of event {self.name!r} must be True, False or None, not {self.digest!r}.")
        if self.priority == NotificationPriority.CRITICAL and (window or self.digest):
            raise ValueError(f"Event {self.name!r} is CRITICAL, so it waits for no digest and no batch.")

    def _check_limit(self) -> None:
        if self.over_limit not in ("wait", "drop"):
            raise ValueError(f'over_limit of event {self.name!r} must be "wait" or "drop", not {self.over_limit!r}.')
        if self.over_limit == "drop" and self.priority == NotificationPriority.CRITICAL:
            raise ValueError(f"Event {self.name!r} is CRITICAL, so no limit may drop it.")
        try:
            if self.limit is not None:
                rate(self.limit)
        except ValueError as error:
            raise ValueError(f"limit of event {self.name!r}: {error}") from error

    def _check_permission(self) -> None:
        if not isinstance(self.permission, str) or (self.permission and not PERMISSION.fullmatch(self.permission)):
            raise ValueError(
                f'permission of event {self.name!r} must be written as "app_label.codename", not {self.permission!r}.'
            )

    @property
    def channels(self) -> tuple[str, ...]:
        """The names of the supported channels, each once, in the declared order."""
        return tuple(dict.fromkeys(key_of(channel) for channel in self.supported_channels))

    @property
    def words(self) -> str:
        """What people call it, in the active language."""
        return str(self.label) or self.name.replace("_", " ").capitalize()

    @property
    def bypasses_preferences(self) -> bool:
        return self.priority == NotificationPriority.CRITICAL

    @property
    def goes_at_any_hour(self) -> bool:
        return self.ignores_quiet_hours or self.priority == NotificationPriority.CRITICAL

    @property
    def batch_seconds(self) -> float:
        """How long the first of a batch waits for others of its kind; 0 if it waits for none."""
        if self.batch_window == "default":
            return 3600.0 if self.priority == NotificationPriority.LOW else 900.0
        return float(self.batch_window)

    def may_wait_for_digest(self, priority: NotificationPriority) -> bool:
        """Whether it may at this priority, which a call may have raised."""
        if self.digest is None:
            return priority >= NotificationPriority.MEDIUM and self.on_unknown != "hold"
        return self.digest

    def transform_for(self, channel: str) -> Transform | None:
        return self.transforms.get(channel)


class EventRegistry(MutableMapping[Enum, NotificationEvent]):
    """Enum member to :class:`NotificationEvent`. It keeps every registration, so that checks can tell of duplicates."""

    def __init__(self) -> None:
        self._events: dict[Enum, NotificationEvent] = {}
        self._by_name: dict[str, NotificationEvent] = {}
        self.registrations: list[tuple[Enum, NotificationEvent]] = []

    def __getitem__(self, member: Enum) -> NotificationEvent:
        return self._events[member]

    def __setitem__(self, member: Enum, event: NotificationEvent) -> None:
        if not isinstance(member, Enum) or not isinstance(event, NotificationEvent):
            raise TypeError(f"Register an Enum member with a NotificationEvent, not {member!r} with {event!r}.")
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
        """The event of this name, in whatever case, if it is registered."""
        return self._by_name.get(key_of(name))

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Undo, at the end of the block, whatever was registered or removed in it."""
        events, by_name, registrations = self._events.copy(), self._by_name.copy(), self.registrations.copy()
        try:
            yield
        finally:
            self._events, self._by_name, self.registrations = events, by_name, registrations

    def find(self, event_name: Enum | str) -> NotificationEvent:
        """The event of an enum member, or of its name.

        :raises UnknownEvent: if nobody registered it.
        """
        found = self._events.get(event_name) if isinstance(event_name, Enum) else self.named(event_name)
        if found is None:
            raise UnknownEvent(
                f"No notification event is registered as {event_name!r}. Register it in a notification_events.py "
                f"of an installed app. Known events: {', '.join(sorted(self._by_name))}."
            )
        return found


NOTIFICATION_EVENTS = EventRegistry()


def register(member: Enum, event: NotificationEvent) -> None:
    """Add an event to the registry; the same as ``NOTIFICATION_EVENTS[member] = event``."""
    NOTIFICATION_EVENTS[member] = event


def autodiscover() -> None:
    """Import ``notification_events`` of every installed app."""
    autodiscover_modules("notification_events")


class BuiltInEvents(Enum):
    """Events that come with Klaxon."""

    MESSAGE = "message"
    DAILY_DIGEST = "daily_digest"
    WEEKLY_DIGEST = "weekly_digest"


register(
    BuiltInEvents.MESSAGE,
    NotificationEvent(
        name=BuiltInEvents.MESSAGE.value,
        priority=NotificationPriority.MEDIUM,
        supported_channels=[NotificationChannel.APP, NotificationChannel.EMAIL, NotificationChannel.LOG],
        context={"message": str, "title": str | None},
    ),
)
DIGESTS: Mapping[str, BuiltInEvents] = {
    "daily": BuiltInEvents.DAILY_DIGEST,
    "weekly": BuiltInEvents.WEEKLY_DIGEST,
}
for member in DIGESTS.values():
    register(
        member,
        NotificationEvent(
            name=member.value,
            priority=NotificationPriority.MEDIUM,
            supported_channels=[NotificationChannel.EMAIL, NotificationChannel.APP],
            context={"sections": list},
            category="digest",
            digest=False,
        ),
    )
