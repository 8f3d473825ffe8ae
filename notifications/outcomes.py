"""Answers of gates, states of deliveries, receipts of providers and results of ``send()``."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class Reason(TextChoices):
    """The reasons why a delivery was held, dropped or refused. The database stores the values, so never change one."""

    UNKNOWN_USER = "unknown_user", _("The user no longer exists")
    INACTIVE = "inactive", _("The user is inactive")
    NOT_MEMBER = "not_member", _("Not a member of the cluster")
    NO_ADDRESS = "no_address", _("No address for this channel")
    INVALID_ADDRESS = "invalid_address", _("The address is malformed")
    ACCOUNT_ADDRESS = "account_address", _("The user’s own address is unusable; that of the account is used")
    SUPPRESSED = "suppressed", _("The address is suppressed")
    PREFERENCE = "preference", _("Opted out in the preferences")
    MUTED = "muted", _("Muted by the user")
    DUPLICATE = "duplicate", _("A duplicate of a recent notification")
    COVERED = "covered", _("Covered by another channel")
    PREFERRED = "preferred", _("Waits for a preferred channel")
    PASSED_OVER = "passed_over", _("Cannot reach the recipient now; another channel is tried first")
    READ = "read", _("Read or acknowledged on another channel")
    NOT_CONFIGURED = "channel_not_configured", _("The channel is not configured")
    NOT_PERMITTED = "not_permitted", _("The actor may not send it")
    SWITCHED_OFF = "switched_off", _("Notifications are switched off")
    QUEUE_FULL = "queue_full", _("The queue is full")
    SHED = "shed", _("Made room for a more urgent notification")
    OVER_LIMIT = "over_limit", _("Over a rate limit")
    QUIET_HOURS = "quiet_hours", _("Waits for the end of quiet hours")
    DELIVERY_WINDOW = "delivery_window", _("Waits for a delivery window")
    BATCH = "batch", _("Waits for its batch")
    DIGEST = "digest", _("Waits for the digest")
    SCHEDULED = "scheduled", _("Waits for its send time")
    EXPIRED = "expired", _("Its time has passed")
    CANCELLED = "cancelled", _("Cancelled")
    UNKNOWN_EVENT = "unknown_event", _("The event is no longer registered")
    RENDERING = "rendering", _("It could not be rendered")
    TEMPORARY = "temporary", _("The provider failed temporarily")
    UNREACHABLE = "unreachable", _("The provider could not be reached")
    PERMANENT = "permanent", _("The provider refused permanently")
    CONFIGURATION = "configuration", _("The provider is misconfigured")
    LOST_CONTACT = "lost_contact", _("Contact was lost; it may have been accepted")
    WORKER_LOST = "worker_lost", _("Its worker stopped responding")
    FAILED_OVER = "failed_over", _("Handed to the next provider")
    BROKEN_OFF = "broken_off", _("The group was interrupted before its turn")
    ON_TRIAL = "on_trial", _("Tried alone, because a worker died while processing it")
    STRIKES = "strikes", _("Three workers died while processing it")
    FALLBACK = "fallback", _("Handed to the fallback channel")
    RETRIED = "retried", _("Resent by a person")


TECHNICAL_REASONS = frozenset(
    {
        Reason.NO_ADDRESS,
        Reason.INVALID_ADDRESS,
        Reason.SUPPRESSED,
        Reason.NOT_CONFIGURED,
        Reason.QUEUE_FULL,
        Reason.SWITCHED_OFF,
    }
)


class RuleKind(Enum):
    """The kinds of rules that decide. ``core.rules`` has a text for each."""

    # A text that is stored or comes from elsewhere.
    TEXT = "text"
    # Several rules: each of them alone decides, or all of them together do.
    EACH_OF = "each_of"
    TOGETHER = "together"
    NOT_MEMBER = "not_member"
    NO_ADDRESS = "no_address"
    SUPPRESSED = "suppressed"
    DEFAULT_ON = "default_on"
    CHANNEL_ON = "channel_on"
    CHANNEL_OFF = "channel_off"
    EVENT_ON = "event_on"
    EVENT_OFF = "event_off"
    CATEGORY_ON = "category_on"
    CATEGORY_OFF = "category_off"
    MUTED = "muted"
    MUTED_UNTIL = "muted_until"
    DUPLICATE = "duplicate"
    COVERED = "covered"
    PREFERRED = "preferred"
    PASSED_OVER = "passed_over"
    READ = "read"
    ACKNOWLEDGED = "acknowledged"
    QUIET_HOURS = "quiet_hours"
    DELIVERY_WINDOWS = "delivery_windows"
    DIGEST = "digest"
    BATCH = "batch"
    SEND_AT = "send_at"
    EXPIRES_AT = "expires_at"
    CANCELLED = "cancelled"
    LIMIT = "limit"
    EMPTY_DIGEST = "empty_digest"
    NOT_CONFIGURED = "not_configured"
    SWITCHED_OFF = "switched_off"
    QUEUE_FULL = "queue_full"
    KEY_USED = "key_used"
    KEY_CONFLICT = "key_conflict"


@dataclass(frozen=True)
class Rule:
    """The rule behind an answer, as data. ``core.rules.describe_rule()`` returns it as text.

    :param owner: whose rule it is: ``"user"``, ``"role Nurses"``, ``"cluster"``, ``"site"``, ``"event"``,
        ``"call"``, ``"actor"`` or ``"system"``; empty if it is nobody's.
    :param detail: the values of its text, by name.
    :param until: when it ends, aware; None if it does not.
    """

    kind: RuleKind
    owner: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict, hash=False)
    until: datetime | None = None


@dataclass(frozen=True)
class Deliver:
    """The gate lets the delivery through."""


@dataclass(frozen=True)
class Hold:
    """The gate lets the delivery through, but not before ``until``. ``rule`` is the rule that decides."""

    until: datetime
    reason: Reason
    rule: Rule | None = None


@dataclass(frozen=True)
class Drop:
    """The gate refuses the delivery. ``rule`` is the rule that decides; None if ``reason`` says everything."""

    reason: Reason
    rule: Rule | None = None


Answer = Deliver | Hold | Drop


class DeliveryState(TextChoices):
    """The states of a delivery.

    Deliveries in the first five states are still processed. What follows ``unknown`` depends on the event's
    ``on_unknown``: a retry, or a decision by a person. The other states are final, except that a person can resend a
    *dead* delivery, and that a *merged* one can leave its digest.
    """

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
    """The meaning of a provider's answer, the same for all channels.

    ACCEPTED: the provider accepted the message. TEMPORARY: it failed temporarily and can be retried. PERMANENT: it
    refused the message permanently. CONFIGURATION: the settings of the site are wrong, and no recipient is to blame.
    UNKNOWN: contact was lost after the provider may have accepted the message.
    """

    ACCEPTED = "accepted"
    TEMPORARY = "temporary"
    PERMANENT = "permanent"
    CONFIGURATION = "configuration"
    UNKNOWN = "unknown"


class Blame(Enum):
    """The cause of a failure. It determines the effect on the circuit breaker of the provider.

    PROVIDER: the provider, or the site's account with it. The failure counts towards opening the circuit; a
    CONFIGURATION error opens it at once.
    NETWORK: this site cannot reach the provider: connection refused, no route, no DNS answer. The circuit opens at once
    and the failure does not count as an attempt of the delivery.
    SILENCE: the provider accepted the connection and did not answer in time. The circuit opens at once.
    RECIPIENT: only this mailbox, such as one that does not exist or is full.
    MESSAGE: this recipient or this content. If a second recipient gets the same answer and no message was accepted in
    between, the failure is blamed on the provider.
    ENDPOINT: a server of this recipient alone, such as the receiver of webhooks. It says nothing about any other one.
    """

    PROVIDER = "provider"
    NETWORK = "network"
    SILENCE = "silence"
    RECIPIENT = "recipient"
    MESSAGE = "message"
    ENDPOINT = "endpoint"


class Suppress(Enum):
    """Whether a refusal suppresses the address, so that Klaxon does not send to it again.

    NO: it does not. NOW: it does. BLOCKED: it does; the mailbox exists, but does not accept mail from this sender.
    STOPPED: it does, until the recipient answers START.
    REPEATED: it does when the address gets such an answer for the third time.
    AMONG_ACCEPTED: it does if the provider accepted messages to others directly before and after it.
    """

    NO = "no"
    NOW = "now"
    BLOCKED = "blocked"
    STOPPED = "stopped"
    REPEATED = "repeated"
    AMONG_ACCEPTED = "among_accepted"


@dataclass(frozen=True)
class Receipt:
    """The provider's answer to one message.

    :param message: the message itself, as ``prepare()`` made it.
    :param provider: the name of the provider.
    :param provider_message_id: the provider's own id of the message, at most 255 characters.
    :param error: the provider's error text, for the log.
    :param retry_after: the seconds to wait that the provider asked for.
    :param suppress: whether the answer suppresses the address.
    :param blames: the cause of a failure.
    :param code: the machine-readable part of a failure, such as ``"550 5.7.1"`` or ``"429"``. Answers with the same
        code count as the same. Empty if the provider gave none.
    :param untried: whether nothing was handed over, because this recipient has asked to wait. No attempt is counted,
        and the delivery is tried after ``retry_after``.
    """

    message: Any
    verdict: Verdict
    provider: str = ""
    provider_message_id: str = ""
    error: str = ""
    retry_after: float | None = None
    suppress: Suppress = Suppress.NO
    blames: Blame = Blame.PROVIDER
    code: str = ""
    untried: bool = False


@dataclass(frozen=True)
class Outcome:
    """The state and reason of one recipient on one channel."""

    recipient_key: str
    channel: str
    state: str
    reason: str


@dataclass(repr=False)
class SendResult:
    """The result of ``send()``. The caller's transaction commits the deliveries that it counts.

    :param notification_id: the id of the stored notification; None if it was spooled, or if ``ON_BAD_CALL`` logged an
        error and nothing was stored.
    :param queued: the number of deliveries that are ready to be sent.
    :param held: the number of deliveries that wait for a time.
    :param reasons: the number of dropped deliveries by reason.
    :param not_configured: the supported channels that the site has not configured, each once.
    :param refused_channels: the requested channels that the site has not configured.
    :param duplicate: whether the idempotency key was used before. The counts then describe the first notification now:
        ``held`` is the number of its deliveries that are still held, and ``queued`` that of all its others, including
        sent and dead ones.
    :param spooled: whether the database could not be reached. The call is in the spool until ``replay_spool`` queues
        it.
    :param problems: a sentence for each problem of the call and each omission from its context; they are also logged as
        errors. Empty if there are none, or if :meth:`NotificationManager.send` raises an error instead.
    :param bad_call: whether there are problems and ``ON_BAD_CALL`` is ``"log"``, so that no error was raised.
    """

    notification_id: int | None
    queued: int = 0
    held: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    not_configured: tuple[str, ...] = ()
    refused_channels: tuple[str, ...] = ()
    duplicate: bool = False
    spooled: bool = False
    problems: tuple[str, ...] = ()
    bad_call: bool = False
    _read: Callable[[], Iterator[Outcome]] = field(default=lambda: iter(()), repr=False, compare=False)

    @property
    def dropped(self) -> int:
        """The number of dropped deliveries."""
        return sum(self.reasons.values())

    def outcomes(self) -> Iterator[Outcome]:
        """Read from the database and yield the current outcome of each recipient on each channel."""
        return self._read()

    @property
    def refused(self) -> bool:
        """Whether a recipient or the whole call was refused for a technical reason, or ``ON_BAD_CALL`` logged an error.

        Technical reasons are, for example, no address or a requested channel that is not configured. Errors are logged
        instead of raised if ``ON_BAD_CALL`` is ``"log"``. It is False for a CRITICAL event that was queued with an
        incomplete context, because the event reaches its recipients.
        """
        has_refusal = bool(self.refused_channels) or any(self.reasons[reason] for reason in TECHNICAL_REASONS)
        return has_refusal or self.bad_call

    def __bool__(self) -> bool:
        """Return the opposite of :attr:`refused`."""
        return not self.refused

    def __repr__(self) -> str:
        """Return the numbers, and all other values that are not empty."""
        reasons = {str(reason): count for reason, count in self.reasons.items()}
        values: dict[str, Any] = {"notification_id": self.notification_id, "queued": self.queued, "held": self.held}
        values |= {"dropped": self.dropped, "reasons": reasons}
        for name in ("not_configured", "refused_channels", "duplicate", "spooled", "problems"):
            if value := getattr(self, name):
                values[name] = value
        return f"SendResult({', '.join(f'{name}={value!r}' for name, value in values.items())})"

    def as_dict(self) -> Mapping[str, Any]:
        """Return the numbers of queued, held and dropped deliveries, and the number of drops by reason."""
        return {"queued": self.queued, "held": self.held, "dropped": self.dropped, "reasons": dict(self.reasons)}
