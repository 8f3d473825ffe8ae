"""Asking again: what can have changed between ``send()`` and now."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from notifications.delivering.attempt import AddressedDelivery
from notifications.delivering.fallback import queue_to_account_address
from notifications.delivering.outcome_writer import OutcomeWriter, send_outcome_signal
from notifications.delivering.record import Outcomes, build_drop_row, dead_letter
from notifications.models import Delivery, Notification, NotificationLog, Suppression
from notifications.models.suppression import Pair
from notifications.outcomes import Deliver, DeliveryState, Drop, Hold, Reason
from notifications.sending.gates import RECHECKED_GATES, Person
from notifications.sending.gates.quiet_hours import quiet_hours
from notifications.sending.gates.recheck import build_facts, collect_addresses, find_obstacle, load_recipients, recheck
from notifications.storage.outbox import StateChange

ENDS = {Reason.EXPIRED: DeliveryState.EXPIRED, Reason.CANCELLED: DeliveryState.CANCELLED}


def recheck_claimed(
    claimed: Sequence[Delivery], writer: OutcomeWriter, now: datetime
) -> tuple[list[AddressedDelivery], Counter[str]]:
    """Those deliveries that may go out now; the others are cancelled, expired, dropped or buried, and counted."""
    persons = load_recipients(claimed)
    suppressed = Suppression.objects.using(writer.using).find_suppressed(collect_addresses(claimed))
    wanted, refused, impossible = [], [], []
    for delivery in claimed:
        person = persons[delivery.pk]
        if fault := find_obstacle(delivery):
            impossible.append(dead_letter(delivery, *fault))
        elif answer := _refusal(delivery, person, suppressed, now):
            refused.append((delivery, answer))
        else:
            wanted.append(AddressedDelivery(delivery, person))
    tally = apply_refusals(refused, writer.using, now) if refused else Counter()
    return wanted, tally + writer.write(Outcomes(impossible, now)) if impossible else tally


def _refusal(delivery: Delivery, person: Person, suppressed: frozenset[Pair], now: datetime) -> Drop | Hold | None:
    answer = recheck(delivery, person, suppressed, now, RECHECKED_GATES)
    return None if isinstance(answer, Deliver) else answer


def recheck_quiet_hours(
    group: Sequence[AddressedDelivery], writer: OutcomeWriter
) -> tuple[list[AddressedDelivery], Counter[str]]:
    """Those of a group that may go out at this hour: a slow batch may have come into somebody's quiet hours."""
    now = writer.now()
    answers = [(item, quiet_hours(build_facts(item.delivery, item.person, frozenset(), now))) for item in group]
    held = [(item.delivery, answer) for item, answer in answers if isinstance(answer, Hold)]
    tally = apply_refusals(held, writer.using, now) if held else Counter()
    return [item for item, answer in answers if isinstance(answer, Deliver)], tally


def apply_refusals(refused: Sequence[tuple[Delivery, Drop | Hold]], using: str, now: datetime) -> Counter[str]:
    """Deliveries that may not go out now: they are held, dropped, cancelled or have expired. No attempt is counted."""
    settlements = [
        StateChange(
            id=delivery.pk,
            fence=delivery.fence,
            was=delivery.state,
            state=get_state_after(answer),
            reason=answer.reason,
            due_at=answer.until if isinstance(answer, Hold) else None,
        )
        for delivery, answer in refused
    ]
    with transaction.atomic(using=using):
        written = Delivery.objects.using(using).settle(settlements, now)
        ours = [(*item, news) for item, news in zip(refused, settlements, strict=True) if news.id in written]
        drops = [(delivery, answer) for delivery, answer, _ in ours if isinstance(answer, Drop)]
        rows = [build_drop_row(delivery, answer.reason, answer.rule, now) for delivery, answer in drops]
        NotificationLog.objects.using(using).append(rows)
        queue_to_account_address([row for row, answer in drops if answer.reason == Reason.SUPPRESSED], using, now)
        for delivery, _, news in ours:
            send_outcome_signal(delivery, news, using)
    return Counter(news.state for news in settlements if news.id in written)


def get_state_after(answer: Drop | Hold) -> DeliveryState:
    if isinstance(answer, Hold):
        return DeliveryState.HELD
    return ENDS.get(answer.reason, DeliveryState.DROPPED)


def load_contexts(rows: Sequence[Delivery], using: str) -> None:
    """Read the contexts of deliveries that were read without, for the log: only of those that it tells of."""
    wanted = {row.notification_id for row in rows}
    contexts = Notification.objects.using(using).in_bulk(wanted) if wanted else {}
    for row in rows:
        row.notification.context = contexts[row.notification_id].context
