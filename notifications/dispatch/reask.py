"""Asking again: what can have changed between ``send()`` and now."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import transaction

from notifications import conf
from notifications.channel_classes import address_kind
from notifications.dispatch.attempt import Addressed
from notifications.dispatch.desk import Desk, Outcomes, tell
from notifications.dispatch.record import buried, drop_row
from notifications.events import NOTIFICATION_EVENTS
from notifications.exceptions import ChannelNotConfigured
from notifications.gates import ASKED_AGAIN, Facts, Gate, Person, decide, people
from notifications.gates.quiet_hours import quiet_hours
from notifications.models import Delivery, NotificationLog, Suppression
from notifications.models.outbox import Settlement
from notifications.models.suppression import Pair
from notifications.outcomes import Answer, Deliver, DeliveryState, Drop, Hold, Reason


def still_wanted(claimed: Sequence[Delivery], desk: Desk, now: datetime) -> tuple[list[Addressed], Counter[str]]:
    """Those deliveries that may go out now; the others are expired, dropped or buried, and counted."""
    persons = persons_of(claimed)
    suppressed = Suppression.objects.using(desk.using).among(addresses_of(claimed))
    wanted, refused, impossible = [], [], []
    for delivery in claimed:
        person = persons[delivery.pk]
        if fault := cannot_go(delivery):
            impossible.append(buried(delivery, *fault))
        elif answer := _refusal(delivery, person, suppressed, now):
            refused.append((delivery, answer))
        else:
            wanted.append(Addressed(delivery, person))
    tally = refuse(refused, desk.using, now) if refused else Counter()
    return wanted, tally + desk.write(Outcomes(impossible, now)) if impossible else tally


def persons_of(claimed: Sequence[Delivery]) -> dict[int, Person]:
    """The recipient of each delivery, in four queries for each cluster."""
    by_cluster: dict[Any, list[Delivery]] = defaultdict(list)
    for delivery in claimed:
        by_cluster[delivery.notification.cluster_id].append(delivery)
    persons: dict[int, Person] = {}
    for deliveries in by_cluster.values():
        users = {delivery.recipient_id for delivery in deliveries if delivery.recipient_id is not None}
        known = people(deliveries[0].notification.cluster, users)
        for delivery in deliveries:
            persons[delivery.pk] = known.get(delivery.recipient_id) or Person(delivery.recipient_key)
    return persons


def cannot_go(delivery: Delivery) -> tuple[Reason, str] | None:
    try:
        address_kind(delivery.channel)
    except ChannelNotConfigured as error:
        return Reason.NOT_CONFIGURED, str(error)
    if NOTIFICATION_EVENTS.named(delivery.notification.event) is None:
        return Reason.UNKNOWN_EVENT, f"Event {delivery.notification.event!r} is no longer registered."
    return None


def addresses_of(claimed: Sequence[Delivery]) -> set[Pair]:
    on = conf.current().enabled_channels
    return {(address_kind(row.channel), row.address) for row in claimed if row.address and row.channel in on}


def _refusal(delivery: Delivery, person: Person, suppressed: frozenset[Pair], now: datetime) -> Drop | Hold | None:
    answer = asked_again(delivery, person, suppressed, now, ASKED_AGAIN)
    return None if isinstance(answer, Deliver) else answer


def asked_again(
    delivery: Delivery, person: Person, suppressed: frozenset[Pair], now: datetime, gates: Sequence[Gate]
) -> Answer:
    """What these gates, and its time, say of a delivery now."""
    expires_at = delivery.notification.expires_at
    if expires_at is not None and expires_at <= now:
        return Drop(Reason.EXPIRED)
    return decide(facts_of(delivery, person, suppressed, now), gates)


def facts_of(delivery: Delivery, person: Person, suppressed: frozenset[Pair], now: datetime) -> Facts:
    event = NOTIFICATION_EVENTS.find(delivery.notification.event)
    kind = address_kind(delivery.channel)
    # It is this moment that counts, even if by this clock it was released too early.
    told = delivery.notification
    wanted_at = min(told.wanted_at, now)
    return Facts(
        event,
        delivery.channel,
        kind,
        person,
        delivery.address,
        suppressed,
        topic=told.topic,
        actor_id=told.actor_id,
        now=now,
        wanted_at=wanted_at,
    )


def still_in_hours(group: Sequence[Addressed], desk: Desk) -> tuple[list[Addressed], Counter[str]]:
    """Those of a group that may go out at this hour: a slow batch may have come into somebody's quiet hours."""
    now = desk.now()
    answers = [(item, quiet_hours(facts_of(item.delivery, item.person, frozenset(), now))) for item in group]
    held = [(item.delivery, answer) for item, answer in answers if isinstance(answer, Hold)]
    tally = refuse(held, desk.using, now) if held else Counter()
    return [item for item, answer in answers if isinstance(answer, Deliver)], tally


def refuse(refused: Sequence[tuple[Delivery, Drop | Hold]], using: str, now: datetime) -> Counter[str]:
    """Deliveries that may not go out now: they are held, dropped or have expired. No attempt is counted."""
    settlements = [
        Settlement(
            id=delivery.pk,
            fence=delivery.fence,
            was=delivery.state,
            state=_state_after(answer),
            reason=answer.reason,
            due_at=answer.until if isinstance(answer, Hold) else None,
        )
        for delivery, answer in refused
    ]
    with transaction.atomic(using=using):
        written = Delivery.objects.using(using).settle(settlements, now)
        ours = [(*item, news) for item, news in zip(refused, settlements, strict=True) if news.id in written]
        drops = [(delivery, answer) for delivery, answer, _ in ours if isinstance(answer, Drop)]
        rows = [drop_row(delivery, answer.reason, answer.rule, now) for delivery, answer in drops]
        NotificationLog.objects.using(using).append(rows)
        for delivery, _, news in ours:
            tell(delivery, news, using)
    return Counter(news.state for news in settlements if news.id in written)


def _state_after(answer: Drop | Hold) -> DeliveryState:
    if isinstance(answer, Hold):
        return DeliveryState.HELD
    return DeliveryState.EXPIRED if answer.reason == Reason.EXPIRED else DeliveryState.DROPPED
