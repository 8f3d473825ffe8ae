"""The outcome of an attempt: the next state of the delivery, and the log row."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from notifications import conf
from notifications.context import UNSTORABLE
from notifications.core.addresses import mask_addresses
from notifications.core.refusals import is_refusal
from notifications.delivering.providers.attempt_result import AttemptResult
from notifications.delivering.providers.breaker import is_failure
from notifications.delivering.providers.retry import delays_for, next_retry_delay
from notifications.events import NOTIFICATION_EVENTS, NotificationEvent
from notifications.models import Delivery, NotificationLog
from notifications.outcomes import Blame, DeliveryState, Reason, Receipt, Verdict
from notifications.storage.outbox import StateChange

REASON_BY_VERDICT = {
    Verdict.ACCEPTED: "",
    Verdict.TEMPORARY: Reason.TEMPORARY,
    Verdict.PERMANENT: Reason.PERMANENT,
    Verdict.CONFIGURATION: Reason.CONFIGURATION,
    Verdict.UNKNOWN: Reason.LOST_CONTACT,
}


@dataclass(frozen=True)
class Outcomes:
    """The outcomes of a group at one time. A state change without an attempt (None) adds no log row."""

    pairs: Sequence[tuple[AttemptResult | None, StateChange]]
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


FORGIVABLE_VERDICTS = (Verdict.TEMPORARY, Verdict.CONFIGURATION)
"""A probe may get these without losing an attempt. *Unknown* is not one of them: each such message may have arrived."""


def decide_next_state(
    attempted: AttemptResult, now: datetime, tried_providers: str = "", is_forgiven: bool = False
) -> StateChange:
    """Return the next state of a delivery. The function is pure except for the random jitter.

    :param tried_providers: the providers that have tried the delivery in this round, as JSON, if there is another
        provider. If the attempt has failed, that provider is next; the whole round is one attempt.
    :param is_forgiven: whether a failed attempt is not counted.
    """
    delivery, receipt = attempted.delivery, attempted.receipt
    is_failing_over = bool(tried_providers) and _can_fail_over(receipt) and not _must_hold(delivery, receipt)
    attempts_refunded = int(is_failing_over or (is_forgiven and receipt.verdict in FORGIVABLE_VERDICTS))
    state: str
    due_at: datetime | None
    if is_failing_over:
        state, due_at = DeliveryState.RETRY, now
    elif attempts_refunded:
        state, due_at = _decide_after_outage(delivery, receipt, now)
    else:
        state, due_at = _decide_by_verdict(delivery, receipt, now)
    return StateChange(
        id=delivery.pk,
        fence=delivery.fence,
        was=DeliveryState.SENDING,
        state=state,
        reason=Reason.FAILED_OVER if is_failing_over else get_reason(receipt),
        due_at=due_at,
        provider=attempted.provider,
        provider_message_id=_clean_message_id(receipt),
        attempts_refunded=attempts_refunded if state == DeliveryState.RETRY else 0,
        tried_providers=tried_providers if is_failing_over else "",
    )


def dead_letter(delivery: Delivery, reason: Reason, error: str) -> tuple[AttemptResult, StateChange]:
    """Return the outcome that makes a claimed delivery a dead letter, because it cannot be tried."""
    receipt = Receipt(None, Verdict.PERMANENT, error=error)
    change = StateChange(delivery.pk, delivery.fence, DeliveryState.CLAIMED, DeliveryState.DEAD, reason)
    return AttemptResult(delivery, receipt, 0.0), change


def retry_unsent(delivery: Delivery, now: datetime) -> tuple[None, UnsentChange]:
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
        correlation_id=str(delivery.notification.correlation_id),
        owner=delivery.owner,
    )
    return None, change


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
    if receipt.verdict is Verdict.ACCEPTED:
        return DeliveryState.SENT, None
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


def build_attempt_row(attempted: AttemptResult, reason: str, now: datetime) -> NotificationLog:
    """Return the log row of an attempt."""
    receipt = attempted.receipt
    row = NotificationLog.for_delivery(attempted.delivery, NotificationLog.Kind.ATTEMPT, now)
    row.success = receipt.verdict is Verdict.ACCEPTED
    row.reason = reason
    row.error_message = mask_addresses(UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", receipt.error))
    row.provider = attempted.provider
    row.provider_message_id = _clean_message_id(receipt)
    row.duration = attempted.duration
    return row


def build_drop_row(delivery: Delivery, reason: str, rule: str, now: datetime) -> NotificationLog:
    """Return the log row of a delivery that was dropped before it was tried."""
    return NotificationLog.for_delivery(delivery, NotificationLog.Kind.DROP, now, reason=reason, error_message=rule)


def normalize_receipt(receipt: Receipt) -> Receipt:
    """Return the receipt with texts only. A channel of the host may give a number as the id of a message."""
    texts = {name: getattr(receipt, name) for name in ("provider", "provider_message_id", "error", "code")}
    wrong: dict[str, Any] = {
        name: "" if value is None else str(value) for name, value in texts.items() if type(value) is not str
    }
    return replace(receipt, **wrong) if wrong else receipt


def _clean_message_id(receipt: Receipt) -> str:
    return UNSTORABLE.sub("", receipt.provider_message_id)[:255]
