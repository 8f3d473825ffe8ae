"""Rechecks claimed deliveries: what ``send()`` decided may have changed since."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from notifications.core.rules import log_text
from notifications.delivering.attempt import AddressedDelivery
from notifications.delivering.attempt_outcomes import Outcomes, build_drop_row, dead_letter
from notifications.delivering.fallback import queue_to_account_address
from notifications.delivering.outcome_writer import OutcomeWriter, send_outcome_signal
from notifications.models import Delivery, Notification, NotificationLog, Suppression
from notifications.models.suppression import Pair
from notifications.outcomes import Deliver, DeliveryState, Drop, Hold, Reason
from notifications.sending.gates import RECHECKED_GATES, Person, find_obstacle, recheck
from notifications.sending.gates.facts import build_facts, collect_addresses, load_delivery_recipients
from notifications.sending.gates.hours import quiet_hours
from notifications.storage.outbox import StateChange

STATE_BY_REASON = {Reason.EXPIRED: DeliveryState.EXPIRED, Reason.CANCELLED: DeliveryState.CANCELLED}
"""The state of a delivery that a gate drops for this reason. For every other reason it is *dropped*."""


def recheck_claimed(
    claimed: Sequence[Delivery], writer: OutcomeWriter, now: datetime
) -> tuple[list[AddressedDelivery], Counter[str]]:
    """Return the deliveries that may be sent now, and count the others by their new state.

    The others are held, cancelled, expired, dropped or dead.
    """
    persons = load_delivery_recipients(claimed)
    suppressed = Suppression.objects.using(writer.using).find_suppressed(collect_addresses(claimed))
    sendable, refused, dead = [], [], []
    for delivery in claimed:
        person = persons[delivery.pk]
        if obstacle := find_obstacle(delivery):
            dead.append(dead_letter(delivery, *obstacle))
        elif answer := _find_refusal(delivery, person, suppressed, now):
            refused.append((delivery, answer))
        else:
            sendable.append(AddressedDelivery(delivery, person))
    tally = apply_refusals(refused, writer.using, now) if refused else Counter()
    return sendable, tally + writer.write(Outcomes(dead, now)) if dead else tally


def _find_refusal(delivery: Delivery, person: Person, suppressed: frozenset[Pair], now: datetime) -> Drop | Hold | None:
    answer = recheck(delivery, person, suppressed, now, RECHECKED_GATES)
    return None if isinstance(answer, Deliver) else answer


def recheck_quiet_hours(
    group: Sequence[AddressedDelivery], writer: OutcomeWriter
) -> tuple[list[AddressedDelivery], Counter[str]]:
    """Return the deliveries of a group that quiet hours do not hold, and count the others.

    While a slow batch is being sent, the quiet hours of some recipients may begin.
    """
    now = writer.now()
    answers = [(item, quiet_hours(build_facts(item.delivery, item.person, frozenset(), now))) for item in group]
    held = [(item.delivery, answer) for item, answer in answers if isinstance(answer, Hold)]
    tally = apply_refusals(held, writer.using, now) if held else Counter()
    return [item for item, answer in answers if isinstance(answer, Deliver)], tally


def apply_refusals(refused: Sequence[tuple[Delivery, Drop | Hold]], using: str, now: datetime) -> Counter[str]:
    """Hold, drop, cancel or expire deliveries that a gate or a limit has refused. No attempt is counted.

    Return the number of deliveries in each new state.
    """
    changes = [
        StateChange(
            id=delivery.pk,
            fence=delivery.fence,
            was=delivery.state,
            state=get_state_after(answer),
            reason=answer.reason,
            due_at=answer.until if isinstance(answer, Hold) else None,
            tried_providers=delivery.tried_providers if isinstance(answer, Hold) else "",
        )
        for delivery, answer in refused
    ]
    with transaction.atomic(using=using):
        written = Delivery.objects.using(using).settle(changes, now)
        applied = [(*item, change) for item, change in zip(refused, changes, strict=True) if change.id in written]
        drops = [(delivery, answer) for delivery, answer, _ in applied if isinstance(answer, Drop)]
        rows = [build_drop_row(delivery, answer.reason, log_text(answer.rule), now) for delivery, answer in drops]
        NotificationLog.objects.using(using).append(rows)
        suppressed = [delivery for delivery, answer in drops if answer.reason == Reason.SUPPRESSED]
        queue_to_account_address(suppressed, using, now)
        for delivery, _, change in applied:
            send_outcome_signal(delivery, change, using)
    return Counter(change.state for change in changes if change.id in written)


def get_state_after(answer: Drop | Hold) -> DeliveryState:
    """Return the state of a delivery that a gate has held or dropped."""
    if isinstance(answer, Hold):
        return DeliveryState.HELD
    return STATE_BY_REASON.get(answer.reason, DeliveryState.DROPPED)


def load_contexts(rows: Sequence[Delivery], using: str) -> None:
    """Load the contexts that the queries of these deliveries have deferred, because the log rows need them."""
    ids = {row.notification_id for row in rows}
    notifications = Notification.objects.using(using).in_bulk(ids) if ids else {}
    for row in rows:
        row.notification.context = notifications[row.notification_id].context
