"""Rechecks claimed deliveries: what ``send()`` decided may have changed since."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from notifications.core.rules import log_text
from notifications.delivering.attempt_outcomes import Outcomes, Tally, build_dead_letter, build_drop_row
from notifications.delivering.fallback import queue_to_account_address
from notifications.delivering.groups import ClaimedDelivery, Group
from notifications.delivering.outcome_writer import send_outcome_signal
from notifications.delivering.session import Session
from notifications.delivering.turns import make_next_channels_due
from notifications.events import NOTIFICATION_EVENTS
from notifications.models import Delivery, Notification, NotificationLog, Suppression
from notifications.outcomes import Deliver, DeliveryState, Drop, Hold, Reason
from notifications.sending.gates import RECHECKED_GATES, find_obstacle, recheck
from notifications.sending.gates.facts import build_facts, collect_addresses, load_delivery_recipients
from notifications.sending.gates.hours import quiet_hours
from notifications.sending.gates.load_turns import load_turns
from notifications.sending.gates.turns import combine_with_turn, decide_turn
from notifications.storage.outbox import StateChange

STATE_BY_REASON = {Reason.EXPIRED: DeliveryState.EXPIRED, Reason.CANCELLED: DeliveryState.CANCELLED}
"""The state of a delivery that a gate drops for this reason. For every other reason it is *dropped*."""


def recheck_claimed(claimed: Sequence[Delivery], session: Session, now: datetime) -> list[ClaimedDelivery]:
    """Return the deliveries that may be sent now. The others are held, cancelled, expired, dropped or dead."""
    persons = load_delivery_recipients(claimed)
    suppressed = Suppression.objects.using(session.using).find_suppressed(collect_addresses(claimed))
    turns = load_turns(claimed, now, session.using)
    sendable, refused, dead = [], [], []
    for delivery in claimed:
        if obstacle := find_obstacle(delivery):
            dead.append(build_dead_letter(delivery, *obstacle))
            continue
        decision = recheck(delivery, persons[delivery.pk], suppressed, now, RECHECKED_GATES)
        if delivery.pk in turns and not isinstance(decision, Drop):
            decision = combine_with_turn(decision, decide_turn(turns[delivery.pk], now))
        if isinstance(decision, Deliver):
            event = delivery.notification.declared_event or NOTIFICATION_EVENTS.find(delivery.notification.event)
            sendable.append(ClaimedDelivery(delivery, event, persons[delivery.pk]))
        else:
            refused.append((delivery, decision))
    if refused:
        session.writer.count(apply_decisions(refused, session.using, now))
    if dead:
        session.writer.count(session.writer.write(Outcomes(dead, now)))
    return sendable


def recheck_quiet_hours(group: Group, session: Session, now: datetime) -> Group:
    """Return the group without the deliveries that quiet hours or delivery windows now hold.

    While a slow batch is being sent, the quiet hours of some recipients may begin.
    """
    sendable, held = [], []
    for item in group.items:
        decision = quiet_hours(build_facts(item.delivery, item.person, frozenset(), now))
        if isinstance(decision, Hold):
            held.append((item.delivery, decision))
        else:
            sendable.append(item)
    if held:
        session.writer.count(apply_decisions(held, session.using, now))
    return Group(group.provider, sendable, now)


def apply_decisions(refused: Sequence[tuple[Delivery, Drop | Hold]], using: str, now: datetime) -> Tally:
    """Hold, drop, cancel or expire deliveries, as gates or limits have decided. No attempt is counted.

    Return the number of deliveries in each new state.
    """
    changes = [
        StateChange(
            delivery.pk,
            delivery.fence,
            delivery.state,
            get_state_after(decision),
            decision.reason,
            due_at=decision.until if isinstance(decision, Hold) else None,
            tried_providers=delivery.tried_providers if isinstance(decision, Hold) else "",
        )
        for delivery, decision in refused
    ]
    with transaction.atomic(using=using):
        written = Delivery.objects.using(using).settle(changes, now)
        applied = [(*item, change) for item, change in zip(refused, changes, strict=True) if change.id in written]
        drops = [(delivery, decision) for delivery, decision, _ in applied if isinstance(decision, Drop)]
        rows = [build_drop_row(delivery, drop.reason, log_text(drop.rule), now) for delivery, drop in drops]
        NotificationLog.objects.using(using).append(rows)
        suppressed = [delivery for delivery, drop in drops if drop.reason == Reason.SUPPRESSED]
        if suppressed:
            queue_to_account_address(suppressed, using, now)
        make_next_channels_due([(delivery, change) for delivery, _, change in applied], using, now)
        for delivery, _, change in applied:
            send_outcome_signal(delivery, change, using)
    return Counter(change.state for change in changes if change.id in written)


def get_state_after(decision: Drop | Hold) -> DeliveryState:
    """Return the state of a delivery that a gate has held or dropped."""
    if isinstance(decision, Hold):
        return DeliveryState.HELD
    return STATE_BY_REASON.get(decision.reason, DeliveryState.DROPPED)


def load_contexts(rows: Sequence[Delivery], using: str) -> None:
    """Load the contexts that the queries of these deliveries have deferred, because the log rows need them."""
    ids = {row.notification_id for row in rows}
    notifications = Notification.objects.using(using).in_bulk(ids) if ids else {}
    for row in rows:
        row.notification.context = notifications[row.notification_id].context
