"""The declaration of an event: a kind of thing that happens."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from notifications.events.enums import NotificationChannel, NotificationPriority, key_of
from notifications.events.validation import validate_declaration, validate_event

Transform = Callable[[dict[str, Any]], dict[str, Any]]
Urgency = Callable[[dict[str, Any]], int]


@dataclass(frozen=True)
class NotificationEvent:
    """The declaration of an event and of how its notifications are sent.

    :param name: the value of the enum member that it is registered under. It can be left out: ``register()`` sets it.
    :param priority: required. It decides the order of sending; CRITICAL events also reach users who opted out.
    :param supported_channels: required. Members of :class:`NotificationChannel`, or the names of the site's own
        channels.
    :param context: the names and types of the values that ``send()`` requires, such as
        ``{"order_number": str, "eta": date, "note": str | None}``. ``None`` (the default) accepts any mapping that can
        be stored; ``{}`` accepts no values.
    :param label: the name of the event in digests, such as ``_("Your orders")``; by default, it is made from ``name``.
    :param category: a word that groups events for preferences, such as ``"billing"``.
    :param loggable: the context keys that may be copied into the log. Other keys are never copied.
    :param transforms: by channel, a function that returns additional variables for the templates from the context.
    :param retry_delays: the seconds before each retry, or a text such as ``"exponential:60,2,6h"``. Overrides the
        values of the channel and the site.
    :param on_unknown: what to do if contact was lost and the provider may have accepted the message: ``"retry"`` (at
        least once) or ``"hold"`` (at most once, for one-time codes).
    :param fallback: by channel, the channel to use after the delivery on it has failed: ``{"sms": "email"}``. The
        fallback channel need not be supported; if it is, no recipient gets the notification twice.
    :param limit: how often one user can get the event, such as ``"10/h"``. Overrides ``LIMITS["user_event"]``.
    :param over_limit: what happens to deliveries beyond a limit: ``"wait"`` or ``"drop"``. CRITICAL events only wait.
    :param dedup_window: the seconds, up to 86,400 (a day), in which a recipient gets only the first of several
        duplicates; 0 turns this off.
    :param dedup_keys: the context keys of the deduplication key; if there are none, the event alone is the key.
    :param score: the initial score within the band of the priority; by default, its middle.
    :param urgency: a pure function from the context to an integer that is added to the score. It is called once for
        each ``send()``. The sum stays within the band. If it fails, the error is logged and nothing is added.
    :param permission: the permission that the ``actor`` of a ``send()`` must have, such as ``"shop.raise_alarm"``.
    :param ignores_quiet_hours: whether it ignores quiet hours and delivery windows, as CRITICAL events always do.
    :param batch_window: the seconds, 300 to 3600, in which deliveries to one recipient become one message.
        ``"default"`` is 15 minutes, or an hour for LOW events; 0 is off. CRITICAL events have no batches.
    :param batch_scheduled: whether the window also applies to notifications with a ``send_at`` in the future; it then
        begins at that time. By default, these are not batched.
    :param digest: whether it may wait for the digest of a user who has one. By default, MEDIUM and LOW events do,
        except those with ``on_unknown="hold"``. CRITICAL events never do.
    :raises ValueError, TypeError: if a value is invalid. The message names the event.
    """

    name: str = ""
    # Type checkers treat these two as required. A dataclass cannot, because the name before them has a default.
    if TYPE_CHECKING:
        priority: NotificationPriority  # type: ignore[misc]
        supported_channels: Iterable[NotificationChannel | str]  # type: ignore[misc]
    else:
        priority: NotificationPriority = None
        supported_channels: Iterable[NotificationChannel | str] = None
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
        """The human-readable name, in the active language."""
        return str(self.label) or self.name.replace("_", " ").capitalize()

    @property
    def bypasses_preferences(self) -> bool:
        """Whether it also reaches users who opted out."""
        return self.priority == NotificationPriority.CRITICAL

    @property
    def is_sent_at_any_hour(self) -> bool:
        """Whether it ignores quiet hours and delivery windows."""
        return self.ignores_quiet_hours or self.priority == NotificationPriority.CRITICAL

    @property
    def batch_seconds(self) -> float:
        """The seconds that the first delivery of a batch waits for others; 0 if the event has no batches."""
        if self.batch_window == "default":
            return 3600.0 if self.priority == NotificationPriority.LOW else 900.0
        return float(self.batch_window)

    def may_wait_for_digest(self, priority: NotificationPriority) -> bool:
        """Return whether it may wait for a digest at this priority, which a call may have raised."""
        if self.digest is None:
            return priority >= NotificationPriority.MEDIUM and self.on_unknown != "hold"
        return self.digest

    def transform_for(self, channel: str) -> Transform | None:
        return self.transforms.get(channel)
