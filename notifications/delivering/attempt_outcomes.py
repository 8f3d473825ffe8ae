"""The outcome of an attempt: the next state of the delivery, the time of its retry, and the log row."""

import logging
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from notifications import conf
from notifications.context import UNSTORABLE
from notifications.context.storage import to_safe_text
from notifications.core.addresses import mask_addresses
from notifications.core.refusals import is_refusal
from notifications.delays import parse_delays
from notifications.delivering.providers.breaker import is_failure
from notifications.delivering.providers.choice import AttemptResult
from notifications.events import NOTIFICATION_EVENTS, NotificationEvent
from notifications.models import Delivery, NotificationLog
from notifications.outcomes import Blame, DeliveryState, Reason, Receipt, Suppress, Verdict
from notifications.storage.outbox import StateChange

logger = logging.getLogger("notifications.dispatch")

REASON_BY_VERDICT = {
    Verdict.ACCEPTED: "",
    Verdict.TEMPORARY: Reason.TEMPORARY,
    Verdict.PERMANENT: Reason.PERMANENT,
    Verdict.CONFIGURATION: Reason.CONFIGURATION,
    Verdict.UNKNOWN: Reason.LOST_CONTACT,
}
UNCOUNTED_VERDICTS = (Verdict.TEMPORARY, Verdict.CONFIGURATION)
"""A probe may get these without losing an attempt. *Unknown* is not one of them: each such message may have arrived."""
MAX_RETRY_AFTER = 24 * 3600.0
"""Seconds. A provider that asks for a longer wait has made a mistake or no longer exists."""

RECEIPT_ENUMS: tuple[tuple[str, type[Enum], Enum], ...] = (
    ("verdict", Verdict, Verdict.UNKNOWN),
    ("suppress", Suppress, Suppress.NO),
    ("blames", Blame, Blame.PROVIDER),
)
"""Fields of a receipt, each with its type and the member that replaces an invalid value."""

Tally = Counter[str]
"""The number of outcomes of each state, which the summary of a run shows."""
KEPT_IN_A_FILE = "kept in a file"
NOT_RECORDED = "not recorded"

OutcomePair = tuple[AttemptResult | None, StateChange]
"""An attempt with the state change that it causes. A state change without an attempt (None) adds no log row."""


@dataclass(frozen=True)
class Outcomes:
    """The outcomes of a group at one time."""

    pairs: Sequence[OutcomePair]
    at: datetime

    def __iter__(self) -> Iterator["Outcomes"]:
        return (Outcomes([pair], self.at) for pair in self.pairs)

    @property
    def attempted(self) -> list[tuple[AttemptResult, StateChange]]:
        return [(item, change) for item, change in self.pairs if item is not None]


@dataclass(frozen=True)
class UnsentChange(StateChange):
    """The state change of a delivery that was not handed over, with the values that identify it in a leftovers file.

    ``correlation_id`` is that of the notification; ``owner`` is the worker that had claimed the delivery.
    """

    correlation_id: str = ""
    owner: str = ""


def decide_next_state(
    attempted: AttemptResult, now: datetime, tried_providers: str = "", is_uncounted: bool = False
) -> StateChange:
    """Return the next state of a delivery. The function is pure except for the random jitter.

    :param tried_providers: the providers that have tried the delivery in this round, as JSON, if there is another
        provider. If the attempt has failed, that provider is next; the whole round is one attempt.
    :param is_uncounted: whether a failed attempt is not counted.
    """
    delivery, receipt = attempted.delivery, attempted.receipt
    if receipt.verdict is Verdict.ACCEPTED:
        return StateChange(
            delivery.pk,
            delivery.fence,
            DeliveryState.SENDING,
            DeliveryState.SENT,
            provider=attempted.provider,
            provider_message_id=clean_message_id(receipt),
        )
    is_failing_over = bool(tried_providers) and _can_fail_over(receipt) and not _must_hold(delivery, receipt)
    attempts_refunded = int(is_failing_over or (is_uncounted and receipt.verdict in UNCOUNTED_VERDICTS))
    state: str
    due_at: datetime | None
    if is_failing_over:
        state, due_at = DeliveryState.RETRY, now
    elif attempts_refunded:
        state, due_at = _decide_after_outage(delivery, receipt, now)
    else:
        state, due_at = _decide_by_verdict(delivery, receipt, now)
    return StateChange(
        delivery.pk,
        delivery.fence,
        DeliveryState.SENDING,
        state,
        Reason.FAILED_OVER if is_failing_over else get_reason(receipt),
        due_at,
        provider=attempted.provider,
        provider_message_id=clean_message_id(receipt),
        attempts_refunded=attempts_refunded if state == DeliveryState.RETRY else 0,
        tried_providers=tried_providers if is_failing_over else "",
    )


def build_dead_letter(delivery: Delivery, reason: Reason, error: str) -> tuple[AttemptResult, StateChange]:
    """Return the outcome that makes a claimed delivery a dead letter, because it cannot be tried."""
    receipt = Receipt(None, Verdict.PERMANENT, error=error)
    change = StateChange(delivery.pk, delivery.fence, DeliveryState.CLAIMED, DeliveryState.DEAD, reason)
    return AttemptResult(delivery, receipt, 0.0), change


def build_retry(delivery: Delivery, now: datetime) -> tuple[None, UnsentChange]:
    """Return the outcome of a delivery that is marked *sending* but was certainly not handed over.

    It is retried immediately, and no attempt is counted.
    """
    change = UnsentChange(
        delivery.pk,
        delivery.fence,
        DeliveryState.SENDING,
        DeliveryState.RETRY,
        Reason.BROKEN_OFF,
        due_at=now,
        attempts_refunded=1,
        tried_providers=delivery.tried_providers,
        correlation_id=str(delivery.notification.correlation_id),
        owner=delivery.owner,
    )
    return None, change


def build_postponed(delivery: Delivery, receipt: Receipt, now: datetime) -> tuple[None, UnsentChange]:
    """Return the outcome of a delivery that the channel did not try, because its recipient has asked to wait.

    No attempt is counted, and there is no log row.
    """
    wait = timedelta(seconds=min(receipt.retry_after or 0, MAX_RETRY_AFTER))
    _, change = build_retry(delivery, now)
    return None, replace(change, reason=Reason.TEMPORARY, due_at=now + wait)


def build_release(delivery: Delivery) -> StateChange:
    """Return the state change of a claimed delivery that was not begun: it is ready again, as it was before."""
    return StateChange(
        delivery.pk,
        delivery.fence,
        DeliveryState.CLAIMED,
        DeliveryState.READY,
        delivery.reason,
        delivery.due_at,
        provider=delivery.provider,
        tried_providers=delivery.tried_providers,
    )


def build_hold(delivery: Delivery, reason: Reason, due_at: datetime) -> StateChange:
    """Return the state change of a claimed delivery that must wait until a time. No attempt is counted."""
    return StateChange(
        delivery.pk,
        delivery.fence,
        DeliveryState.CLAIMED,
        DeliveryState.HELD,
        reason,
        due_at,
        provider=delivery.provider,
        tried_providers=delivery.tried_providers,
    )


def get_reason(receipt: Receipt) -> str:
    if receipt.verdict is Verdict.TEMPORARY and receipt.blames is Blame.NETWORK:
        return Reason.UNREACHABLE
    return REASON_BY_VERDICT[receipt.verdict]


def _can_fail_over(receipt: Receipt) -> bool:
    """Return whether another provider may accept the message. A mailbox that does not exist is the same for all."""
    return is_failure(receipt) or (is_refusal(receipt) and receipt.blames is Blame.MESSAGE)


def _decide_after_outage(delivery: Delivery, receipt: Receipt, now: datetime) -> tuple[str, datetime | None]:
    """Return the state of a delivery whose provider has failed, and the time of the retry."""
    if receipt.blames is Blame.NETWORK:
        # The open circuit holds it back for as long as necessary.
        return DeliveryState.RETRY, now
    event = NOTIFICATION_EVENTS.named(delivery.notification.event)
    state, due_at = decide_retry(delivery, event, now, receipt.retry_after, attempts_refunded=1)
    if due_at is not None:
        # Other deliveries must be the next probes, because this one may be the reason why the provider fails.
        due_at = max(due_at, now + timedelta(seconds=2 * conf.current().breaker_most_seconds))
    return state, due_at


def _must_hold(delivery: Delivery, receipt: Receipt) -> bool:
    event = NOTIFICATION_EVENTS.named(delivery.notification.event)
    return receipt.verdict is Verdict.UNKNOWN and event is not None and event.on_unknown == "hold"


def _decide_by_verdict(delivery: Delivery, receipt: Receipt, now: datetime) -> tuple[str, datetime | None]:
    if receipt.verdict is Verdict.PERMANENT:
        return DeliveryState.DEAD, None
    if _must_hold(delivery, receipt):
        return DeliveryState.UNKNOWN, None
    event = NOTIFICATION_EVENTS.named(delivery.notification.event)
    return decide_retry(delivery, event, now, receipt.retry_after)


def decide_retry(
    delivery: Delivery,
    event: NotificationEvent | None,
    now: datetime,
    retry_after: float | None = None,
    attempts_refunded: int = 0,
) -> tuple[str, datetime | None]:
    """Return *retry* and its time, or *dead* if the schedule of the event has no retry left."""
    delays = delays_for(event, delivery.channel) if event else ()
    failed = max(1, delivery.attempts - attempts_refunded)
    wait = next_retry_delay(failed, delays, conf.current().retry_jitter, random.random(), retry_after)  # noqa: S311
    if wait is None:
        return DeliveryState.DEAD, None
    return DeliveryState.RETRY, now + timedelta(seconds=wait)


def delays_for(event: NotificationEvent, channel: str) -> tuple[float, ...]:
    """Return the seconds before each retry: those of the event, or else of the channel, or else of the site."""
    if event.retry_delays is not None:
        return parse_delays(event.retry_delays)
    channel_conf = conf.current().channel(channel)
    if channel_conf and channel_conf.retry_delays is not None:
        return channel_conf.retry_delays
    return conf.current().retry_delays


def next_retry_delay(
    attempts: int, delays: tuple[float, ...], jitter: float, random_value: float, retry_after: float | None = None
) -> float | None:
    """Return the seconds to wait after the given number of failed attempts, or None if the schedule is used up.

    :param jitter: how far a delay may deviate, as a fraction. ``random_value`` (0 to 1) is the position in that range.
        With it, a thousand deliveries that were refused together are not retried together.
    :param retry_after: the seconds that the provider asked for. The wait is never shorter, but at most a day of it
        counts.
    """
    if attempts > len(delays):
        return None
    delay = delays[attempts - 1] * (1 + jitter * (2 * random_value - 1))
    return max(delay, min(retry_after or 0, MAX_RETRY_AFTER))


def build_attempt_row(attempted: AttemptResult, change: StateChange, now: datetime) -> NotificationLog:
    """Return the log row of an attempt, with the reason of the state change that it causes."""
    receipt = attempted.receipt
    success = receipt.verdict is Verdict.ACCEPTED
    latency = max(0.0, (now - attempted.delivery.since).total_seconds()) if success else 0.0
    error = receipt.error and mask_addresses(UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", receipt.error))
    return NotificationLog.for_delivery(
        attempted.delivery,
        NotificationLog.Kind.ATTEMPT,
        now,
        success=success,
        reason=change.reason,
        error_message=error,
        provider=attempted.provider,
        provider_message_id=change.provider_message_id or clean_message_id(receipt),
        duration=attempted.duration,
        latency=latency,
    )


def build_drop_row(delivery: Delivery, reason: str, rule: str, now: datetime) -> NotificationLog:
    """Return the log row of a delivery that was dropped before it was tried."""
    return NotificationLog.for_delivery(delivery, NotificationLog.Kind.DROP, now, reason=reason, error_message=rule)


def normalize_receipt(receipt: Receipt) -> Receipt:
    """Return the receipt with values of the declared types. A channel of the host may use others.

    It does not raise, because the receipts of other messages wait to be recorded. An invalid verdict becomes
    *unknown*, because the message may have been accepted; other invalid values are replaced by the defaults.
    """
    changed: dict[str, Any] = {}
    for name in ("provider", "provider_message_id", "error", "code"):
        value = getattr(receipt, name)
        if type(value) is not str:
            changed[name] = "" if value is None else to_safe_text(value)
    for name, kind, default in RECEIPT_ENUMS:
        value = getattr(receipt, name)
        if type(value) is not kind:
            changed[name] = _convert(kind, value, default)
    if receipt.retry_after is not None and type(receipt.retry_after) is not float:
        changed["retry_after"] = _convert(float, receipt.retry_after, None)
    if not math.isfinite(changed.get("retry_after", receipt.retry_after) or 0):
        changed["retry_after"] = None
    return replace(receipt, **changed) if changed else receipt


def _convert(kind: Callable[[Any], Any], value: Any, default: Any) -> Any:
    with suppress(TypeError, ValueError, OverflowError):
        return kind(value)
    logger.error(
        "A channel's receipt has %s, which is not a %s. Klaxon uses %s.", to_safe_text(value), kind.__name__, default
    )
    return default


def clean_message_id(receipt: Receipt) -> str:
    """Return the provider's id of the message as the database can store it."""
    return UNSTORABLE.sub("", receipt.provider_message_id)[:255]
