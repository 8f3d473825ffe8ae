"""Events, which are kinds of things that happen: their declaration, and the registry by members of enums."""

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.utils.module_loading import autodiscover_modules

from notifications.conf.problem import find_nearest
from notifications.events.enums import NotificationChannel, NotificationPriority, key_of
from notifications.events.escalation import Escalation, normalize_escalation
from notifications.events.inbox import InboxAction, InboxText, normalize_actions, with_acknowledge
from notifications.events.prefer import Prefer, normalize_prefer
from notifications.events.validation import validate_declaration, validate_event
from notifications.exceptions import UnknownEvent

MAX_LISTED_EVENTS = 10

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
    :param prefer: channels to use one after the other, instead of all: the first one that can reach the recipient now,
        and the next one if the notification stays unread for the ``wait`` of :class:`Prefer`, or if the channel fails:
        ``[Prefer("app", wait=timedelta(minutes=10)), "email"]``. Supported channels that are not in the list are used
        as usual. The event has no batches and waits for no digest.
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
    :param mandatory: whether it also reaches users who have opted out or muted it, as CRITICAL events always do. This
        is for receipts and one-time codes. Its emails have no link to unsubscribe, and it waits for no digest.
    :param sensitive: whether the context is encrypted in the database, and channels other than the inbox carry only a
        link to a page behind log-in. Its recipients must be users, and it can have neither ``loggable`` keys nor
        attachments. Requires ``ENCRYPTION_KEYS``.
    :param link: the context key with the address that messages of a sensitive event carry, instead of that of the page
        behind log-in. For links that open without a log-in, such as one that resets a password.
    :param digest: whether it may wait for the digest of a user who has one. By default, MEDIUM and LOW events do,
        except those with ``on_unknown="hold"``. CRITICAL and mandatory events never do.
    :param track_opens: whether opens of its emails are recorded, by an image in the HTML.
    :param track_clicks: whether clicks in its emails are recorded; then links lead over your site.
    :param variants: the names and weights of the variants of an A/B test, such as ``{"short": 1, "long": 1}``.
        Templates get the name as ``variant``. A recipient gets the same variant in a whole campaign.
    :param url: where an item in the inbox leads: a path of your site or an ``https`` address. Here and in the next two,
        ``{number}`` stands for a value of the context, and a function of the context may be used instead of a text.
    :param icon: the icon of an item: one or two characters such as an emoji, or the URL of an image, as for ``url``.
    :param group_key: items of a day with the same key are shown as a group; by default, there are no groups.
    :param group_label: the title of a group, which is formatted with ``count``:
        ``ngettext_lazy("%(count)d change to your schedule", "%(count)d changes to your schedule", "count")``.
    :param actions: the buttons of an item: :class:`InboxAction`, ``"acknowledge"`` or ``"dismiss"``.
    :param escalation: who gets a notification next if nobody acknowledges it in time: an :class:`Escalation`, or True
        or ``"default"`` for the default one. The event has no batches and waits for no digest, and its items in the
        inbox have the action ``"acknowledge"``.
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
    prefer: Sequence[Prefer | NotificationChannel | str] = ()
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
    mandatory: bool = False
    sensitive: bool = False
    link: str = ""
    track_opens: bool = False
    track_clicks: bool = False
    variants: Mapping[str, float] = field(default_factory=dict)
    url: InboxText = ""
    icon: InboxText = ""
    group_key: InboxText = ""
    group_label: Any = ""
    actions: Sequence[InboxAction | str] = ()
    escalation: Escalation | bool | str | None = None

    def __post_init__(self) -> None:
        validate_declaration(self)
        transforms = {key_of(channel): function for channel, function in self.transforms.items()}
        fallback = {key_of(channel): key_of(other) for channel, other in self.fallback.items()}
        escalation = normalize_escalation(self.escalation)
        actions = normalize_actions(self.actions)
        given = {
            "priority": NotificationPriority(self.priority),
            "supported_channels": tuple(self.supported_channels),
            "category": key_of(self.category),
            "transforms": transforms,
            "fallback": fallback,
            "prefer": normalize_prefer(self.prefer),
            "dedup_keys": tuple(self.dedup_keys),
            "actions": with_acknowledge(actions) if escalation else actions,
            "escalation": escalation,
        }
        for name, value in given.items():
            object.__setattr__(self, name, value)
        validate_event(self)

    @cached_property
    def channels(self) -> tuple[str, ...]:
        """The names of the supported channels, each once, in the declared order."""
        return tuple(dict.fromkeys(key_of(channel) for channel in self.supported_channels))

    @cached_property
    def preferred(self) -> dict[str, Prefer]:
        """The entries of ``prefer`` by the name of their channel, in order."""
        return {str(one.channel): one for one in normalize_prefer(self.prefer)}

    @cached_property
    def escalated(self) -> "NotificationEvent":
        """The event as an escalation sends it: CRITICAL, so that nothing holds it back that people can turn off."""
        return replace(
            self,
            priority=NotificationPriority.CRITICAL,
            supported_channels=self.named_channels,
            on_unknown="retry",
            prefer=(),
            limit=None,
            over_limit="wait",
            dedup_window=0,
            dedup_keys=(),
            score=None,
            urgency=None,
            permission="",
            batch_window=0,
            batch_scheduled=False,
            digest=None,
            escalation=None,
        )

    @cached_property
    def named_channels(self) -> tuple[str, ...]:
        """The names of the supported channels, and of those that only its escalation uses."""
        more = self.escalation.channels if isinstance(self.escalation, Escalation) else ()
        return tuple(dict.fromkeys((*self.channels, *more)))

    @property
    def words(self) -> str:
        """The human-readable name, in the active language."""
        return str(self.label) or self.name.replace("_", " ").capitalize()

    @cached_property
    def inbox_actions(self) -> tuple[InboxAction, ...]:
        """The actions, with the built-in ones as :class:`InboxAction`."""
        return tuple(action for action in self.actions if isinstance(action, InboxAction))

    @cached_property
    def describes_items(self) -> bool:
        """Whether it says anything about its items in the inbox."""
        return any((self.url, self.icon, self.group_key, self.actions))

    @cached_property
    def is_tracked(self) -> bool:
        """Whether opens or clicks of its emails are recorded."""
        return self.track_opens or self.track_clicks

    @cached_property
    def has_figures(self) -> bool:
        """Whether figures are kept of it, even without a campaign."""
        return self.is_tracked or bool(self.variants)

    @cached_property
    def bypasses_preferences(self) -> bool:
        """Whether it also reaches users who opted out."""
        return self.mandatory or self.priority == NotificationPriority.CRITICAL

    @cached_property
    def is_sent_at_any_hour(self) -> bool:
        """Whether it ignores quiet hours and delivery windows."""
        return self.ignores_quiet_hours or self.priority == NotificationPriority.CRITICAL

    @cached_property
    def batch_seconds(self) -> float:
        """The seconds that the first delivery of a batch waits for others; 0 if the event has no batches."""
        if self.batch_window == "default":
            return 3600.0 if self.priority == NotificationPriority.LOW else 900.0
        return float(self.batch_window)

    def may_wait_for_digest(self, priority: int) -> bool:
        """Return whether it may wait for a digest at this priority, which a call may have raised."""
        if self.digest is None and not self.prefer and self.escalation is None:
            return priority >= NotificationPriority.MEDIUM and self.on_unknown != "hold" and not self.mandatory
        return bool(self.digest)

    def transform_for(self, channel: str) -> Transform | None:
        return self.transforms.get(channel)


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
        # Most names are spelled as they are registered. A caller may also pass a value that is no name.
        event = self._by_name.get(name) if isinstance(name, str) else None
        return event or self._by_name.get(key_of(name))

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
