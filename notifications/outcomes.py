"""The words for what became of things: answers of gates, states of deliveries, receipts and results."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class Reason(TextChoices):
    """Why something was held, dropped or refused. Stored; never rename a value."""

    UNKNOWN_USER = "unknown_user", _("The user no longer exists")
    INACTIVE = "inactive", _("The user is inactive")
    NOT_MEMBER = "not_member", _("Not a member of the cluster")
    NO_ADDRESS = "no_address", _("No address for this channel")
    INVALID_ADDRESS = "invalid_address", _("The address is malformed")
    SUPPRESSED = "suppressed", _("The address is suppressed")
    PREFERENCE = "preference", _("Opted out in the preferences")
    MUTED = "muted", _("Muted by the user")
    DUPLICATE = "duplicate", _("The same was sent a moment ago")
    NOT_CONFIGURED = "channel_not_configured", _("The channel is not configured")
    NOT_PERMITTED = "not_permitted", _("The actor may not send it")
    QUEUE_FULL = "queue_full", _("The queue is full")
    SHED = "shed", _("Made room for something more urgent")
    OVER_LIMIT = "over_limit", _("Over a rate limit")
    QUIET_HOURS = "quiet_hours", _("Waits for the end of quiet hours")
    DELIVERY_WINDOW = "delivery_window", _("Waits for a delivery window")
    BATCH = "batch", _("Waits for others of its kind")
    DIGEST = "digest", _("Waits for the digest")
    SCHEDULED = "scheduled", _("Waits for its time")
    EXPIRED = "expired", _("Its time has passed")
    CANCELLED = "cancelled", _("Cancelled")
    UNKNOWN_EVENT = "unknown_event", _("The event is no longer registered")
    RENDERING = "rendering", _("It could not be rendered")
    TEMPORARY = "temporary", _("The provider failed for now")
    PERMANENT = "permanent", _("The provider refused for good")
    CONFIGURATION = "configuration", _("The provider is misconfigured")
    LOST_CONTACT = "lost_contact", _("Contact was lost; it may have been accepted")
    WORKER_LOST = "worker_lost", _("Its worker stopped answering")
    FAILED_OVER = "failed_over", _("The next provider has it")
    BROKEN_OFF = "broken_off", _("Its group was broken off before its turn")
    STRIKES = "strikes", _("It stopped three workers")
    FALLBACK = "fallback", _("Went to the fallback channel")
    RETRIED = "retried", _("Retried by a person")


TECHNICAL = frozenset(
    {Reason.NO_ADDRESS, Reason.INVALID_ADDRESS, Reason.SUPPRESSED, Reason.NOT_CONFIGURED, Reason.QUEUE_FULL}
)


@dataclass(frozen=True)
class Deliver:
    """A gate lets it through."""


@dataclass(frozen=True)
class Hold:
    """A gate lets it through, but not before ``until``. ``rule`` names what decided."""

    until: datetime
    reason: Reason
    rule: str = ""


@dataclass(frozen=True)
class Drop:
    """A gate says no. ``rule`` names what decided, such as ``"user: channel email is off"``."""

    reason: Reason
    rule: str = ""


Answer = Deliver | Hold | Drop


class DeliveryState(TextChoices):
    """The states of a delivery. The first five are alive, ``unknown`` waits for its policy, the others are ends."""

    HELD = "held", _("held")
    READY = "ready", _("ready")
    CLAIMED = "claimed", _("claimed")
    SENDING = "sending", _("sending")
    RETRY = "retry", _("retry")
    UNKNOWN = "unknown", _("unknown")
    SENT = "sent", _("sent")
    DEAD = "dead", _("dead")
    DROPPED = "dropped", _("dropped")
    MERGED = "merged", _("merged")
    CANCELLED = "cancelled", _("cancelled")
    EXPIRED = "expired", _("expired")


WAITING = (DeliveryState.HELD, DeliveryState.READY, DeliveryState.RETRY)
END_STATES = (
    DeliveryState.SENT,
    DeliveryState.DEAD,
    DeliveryState.DROPPED,
    DeliveryState.MERGED,
    DeliveryState.CANCELLED,
    DeliveryState.EXPIRED,
)


class Verdict(Enum):
    """What a provider said, in the five words that every channel uses.

    ACCEPTED: the provider has taken it. TEMPORARY: not now, try again. PERMANENT: never. CONFIGURATION: our own
    settings are wrong, no recipient is to blame. UNKNOWN: contact was lost when it may already have been taken.
    """

    ACCEPTED = "accepted"
    TEMPORARY = "temporary"
    PERMANENT = "permanent"
    CONFIGURATION = "configuration"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Receipt:
    """What became of one message.

    :param message: the message itself, as ``prepare()`` made it.
    :param provider: who carried it.
    :param provider_message_id: the provider's own name for it, at most 255 characters.
    :param error: the provider's words, for the log.
    :param retry_after: seconds that the provider asked us to wait.
    :param suppress: the address is bad; nothing should be sent to it again.
    :param blames_recipient: a failure of this one mailbox; it says nothing about the provider's health.
    """

    message: Any
    verdict: Verdict
    provider: str = ""
    provider_message_id: str = ""
    error: str = ""
    retry_after: float | None = None
    suppress: bool = False
    blames_recipient: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of one recipient on one channel."""

    recipient_key: str
    channel: str
    state: str
    reason: str


@dataclass
class SendResult:
    """What ``send()`` achieved. *queued* and *held* are committed with the caller's transaction.

    :param notification_id: the stored notification; None if it was spooled.
    :param not_configured: supported channels that this site has not configured; named once, not for each recipient.
    :param duplicate: the idempotency key was used before; these are the figures of the first call.
    :param spooled: the database could not be reached; it is kept on this machine until ``replay_spool`` queues it.
    """

    notification_id: int | None
    queued: int = 0
    held: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    not_configured: tuple[str, ...] = ()
    refused_channels: tuple[str, ...] = ()
    duplicate: bool = False
    spooled: bool = False
    _read: Callable[[], Iterator[Outcome]] = field(default=lambda: iter(()), repr=False, compare=False)

    @property
    def dropped(self) -> int:
        return sum(self.reasons.values())

    def outcomes(self) -> Iterator[Outcome]:
        """Read, when asked for, what became of each recipient on each channel, as it stands now."""
        return self._read()

    def __bool__(self) -> bool:
        """False only when someone was refused for a technical reason: no address, or a requested channel missing."""
        return not self.refused_channels and not any(self.reasons[reason] for reason in TECHNICAL)

    def as_dict(self) -> Mapping[str, Any]:
        return {"queued": self.queued, "held": self.held, "dropped": self.dropped, "reasons": dict(self.reasons)}
