"""What an attempt comes to: the next state of the delivery, and its row in the log."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from notifications import conf
from notifications.context import UNSTORABLE
from notifications.core.addresses import masked_text
from notifications.core.refusals import is_refusal
from notifications.delivering.providers.attempt_result import AttemptResult
from notifications.delivering.providers.breaker import is_failure
from notifications.delivering.providers.retry import delays_for, next_retry_delay
from notifications.events import NOTIFICATION_EVENTS, NotificationEvent
from notifications.models import Delivery, NotificationLog
from notifications.outcomes import Blame, DeliveryState, Reason, Receipt, Verdict
from notifications.storage.outbox import StateChange

REASON_OF = {
    Verdict.ACCEPTED: "",
    Verdict.TEMPORARY: Reason.TEMPORARY,
    Verdict.PERMANENT: Reason.PERMANENT,
    Verdict.CONFIGURATION: Reason.CONFIGURATION,
    Verdict.UNKNOWN: Reason.LOST_CONTACT,
}


@dataclass(frozen=True)
class Outcomes:
    """What became of a group at one time. A settlement without an attempt (None) leaves no row in the log."""

    pairs: Sequence[tuple[AttemptResult | None, StateChange]]
    at: datetime

    def __iter__(self) -> Iterator["Outcomes"]:
        return (Outcomes([pair], self.at) for pair in self.pairs)

    @property
    def attempted(self) -> list[tuple[AttemptResult, StateChange]]:
        return [(item, news) for item, news in self.pairs if item is not None]


@dataclass(frozen=True)
class UnsentChange(StateChange):
    """A settlement without an attempt that says whose it is, for a file of outcomes.

    ``correlation_id`` is that of the notification; ``owner`` is the worker that had the delivery.
    """

    correlation_id: str = ""
    owner: str = ""


FORGIVEN = (Verdict.TEMPORARY, Verdict.CONFIGURATION)
"""What a probe may be told without losing an attempt. Not *unknown*: that may have arrived, each time."""


def decide_next_state(
    attempted: AttemptResult, now: datetime, failed_over: str = "", forgiven: bool = False
) -> StateChange:
    """The delivery's next state. Pure but for the dice of the jitter.

    :param failed_over: should it have failed, the names of the providers that have had it in this round, because there
        is another one; the whole round is one attempt.
    :param forgiven: should it have failed, the attempt does not count.
    """
    delivery, receipt = attempted.delivery, attempted.receipt
    goes_on = bool(failed_over) and _may_be_tried_elsewhere(receipt) and not _is_held(delivery, receipt)
    attempts_refunded = int(goes_on or (forgiven and receipt.verdict in FORGIVEN))
    state: str
    due_at: datetime | None
    if goes_on:
        state, due_at = DeliveryState.RETRY, now
    elif attempts_refunded:
        state, due_at = _after_the_outage(delivery, receipt, now)
    else:
        state, due_at = _next_state(delivery, receipt, now)
    return StateChange(
        id=delivery.pk,
        fence=delivery.fence,
        was=DeliveryState.SENDING,
        state=state,
        reason=Reason.FAILED_OVER if goes_on else get_reason(receipt),
        due_at=due_at,
        provider=failed_over if goes_on else attempted.provider,
        provider_message_id=_plain_id(receipt),
        attempts_refunded=attempts_refunded if state == DeliveryState.RETRY else 0,
    )


def dead_letter(delivery: Delivery, reason: Reason, error: str) -> tuple[AttemptResult, StateChange]:
    """A claimed delivery that cannot even be tried becomes a dead letter."""
    receipt = Receipt(None, Verdict.PERMANENT, error=error)
    dead = StateChange(delivery.pk, delivery.fence, DeliveryState.CLAIMED, DeliveryState.DEAD, reason)
    return AttemptResult(delivery, receipt, 0.0), dead


def retry_unsent(delivery: Delivery, now: datetime) -> tuple[None, UnsentChange]:
    """A delivery that is marked *sending* but was certainly not handed over: tried again at once, and not counted."""
    news = UnsentChange(
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
    return None, news


def get_reason(receipt: Receipt) -> str:
    if receipt.verdict is Verdict.TEMPORARY and receipt.blames is Blame.NETWORK:
        return Reason.UNREACHABLE
    return REASON_OF[receipt.verdict]


def _may_be_tried_elsewhere(receipt: Receipt) -> bool:
    """Whether another provider may take what this one did not. A mailbox that does not exist is the same for all."""
    return is_failure(receipt) or (is_refusal(receipt) and receipt.blames is Blame.MESSAGE)


def _after_the_outage(delivery: Delivery, receipt: Receipt, now: datetime) -> tuple[str, datetime | None]:
    """The state of a delivery that failed through no fault of its own, and when to try again."""
    if receipt.blames is Blame.NETWORK:
        # The open circuit holds it back for as long as need be.
        return DeliveryState.RETRY, now
    event = NOTIFICATION_EVENTS.named(delivery.notification.event)
    state, due_at = decide_retry(delivery, event, now, receipt.retry_after, attempts_refunded=1)
    if due_at is not None:
        # The next probes shall be others: it may be this very delivery that the provider cannot bear.
        due_at = max(due_at, now + timedelta(seconds=2 * conf.current().breaker_most_seconds))
    return state, due_at


def _is_held(delivery: Delivery, receipt: Receipt) -> bool:
    event = NOTIFICATION_EVENTS.named(delivery.notification.event)
    return receipt.verdict is Verdict.UNKNOWN and event is not None and event.on_unknown == "hold"


def _next_state(delivery: Delivery, receipt: Receipt, now: datetime) -> tuple[str, datetime | None]:
    if receipt.verdict is Verdict.ACCEPTED:
        return DeliveryState.SENT, None
    if receipt.verdict is Verdict.PERMANENT:
        return DeliveryState.DEAD, None
    if _is_held(delivery, receipt):
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
    delays = delays_for(event, delivery.channel) if event else ()
    failed = max(1, delivery.attempts - attempts_refunded)
    wait = next_retry_delay(failed, delays, conf.current().retry_jitter, random.random(), retry_after)  # noqa: S311
    if wait is None:
        return DeliveryState.DEAD, None
    return DeliveryState.RETRY, now + timedelta(seconds=wait)


def build_attempt_row(attempted: AttemptResult, reason: str, now: datetime) -> NotificationLog:
    """The log row of an attempt."""
    receipt = attempted.receipt
    row = NotificationLog.of(attempted.delivery, NotificationLog.Kind.ATTEMPT, now)
    row.success = receipt.verdict is Verdict.ACCEPTED
    row.reason = reason
    row.error_message = masked_text(UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", receipt.error))
    row.provider = attempted.provider
    row.provider_message_id = _plain_id(receipt)
    row.duration = attempted.duration
    return row


def build_drop_row(delivery: Delivery, reason: str, rule: str, now: datetime) -> NotificationLog:
    """The log row of a delivery that was let go before it was tried."""
    return NotificationLog.of(delivery, NotificationLog.Kind.DROP, now, reason=reason, error_message=rule)


def normalize_receipt(receipt: Receipt) -> Receipt:
    """A receipt whose words are texts: a channel of a host's own may give a number as the id of a message."""
    words = {name: getattr(receipt, name) for name in ("provider", "provider_message_id", "error", "code")}
    wrong: dict[str, Any] = {
        name: "" if value is None else str(value) for name, value in words.items() if type(value) is not str
    }
    return replace(receipt, **wrong) if wrong else receipt


def _plain_id(receipt: Receipt) -> str:
    return UNSTORABLE.sub("", receipt.provider_message_id)[:255]
