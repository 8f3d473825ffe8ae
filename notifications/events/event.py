"""An event: a kind of thing that happens, and how it is handled."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from notifications.events.enums import NotificationChannel, NotificationPriority, key_of
from notifications.events.validation import validate_declaration, validate_event

Transform = Callable[[dict[str, Any]], dict[str, Any]]
Urgency = Callable[[dict[str, Any]], int]


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
    :param retry_delays: seconds before each further try, or a text such as ``"exponential:60,2,6h"``, overriding the
        channel's and the site's.
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
    :param batch_scheduled: whether the window also holds for what is sent with a ``send_at`` to come; it then begins at
        that time. Without it such a notification goes out at its own time and waits for no others.
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
    retry_delays: Sequence[float] | str | None = None
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
    batch_scheduled: bool = False
    digest: bool | None = None

    def __post_init__(self) -> None:
        validate_declaration(self)
        transforms = {key_of(channel): function for channel, function in self.transforms.items()}
        fallback = {key_of(channel): key_of(other) for channel, other in self.fallback.items()}
        given = {
            "priority": NotificationPriority(self.priority),
            "supported_channels": tuple(self.supported_channels),
            "category": key_of(self.category),
            "transforms": transforms,
            "fallback": fallback,
            "dedup_keys": tuple(self.dedup_keys),
        }
        for name, value in given.items():
            object.__setattr__(self, name, value)
        validate_event(self)

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
    def is_sent_at_any_hour(self) -> bool:
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
