"""Asking again: what can have changed between ``send()`` and now."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import transaction

from notifications.dispatch.attempt import Addressed
from notifications.dispatch.desk import Desk, Outcomes, tell
from notifications.dispatch.record import buried, drop_row
from notifications.gates import ASKED_AGAIN, Facts, Person, decide, people
from notifications.gates.again import addresses_of, facts_of, impossible
from notifications.gates.quiet_hours import quiet_hours
from notifications.models import Delivery, NotificationLog, Suppression
from notifications.models.outbox import Settlement
from notifications.models.suppression import Pair
from notifications.outcomes import Deliver, DeliveryState, Drop, Hold, Reason


def still_wanted(claimed: Sequence[Delivery], desk: Desk, now: datetime) -> tuple[list[Addressed], Counter[str]]:
    """Those deliveries that may go out now; the others are expired, dropped or buried, and counted."""
    persons = _persons(claimed)
    suppressed = Suppression.objects.using(desk.using).among(addresses_of(claimed))
    wanted, refused, hopeless = [], [], []
    for delivery in claimed:
        person = persons[delivery.pk]
        if fault := impossible(delivery):
            hopeless.append(buried(delivery, *fault))
        elif answer := _refusal(delivery, person, suppressed, now):
            refused.append((delivery, answer))
        else:
            wanted.append(Addressed(delivery, person))
    tally = refuse(refused, desk.using, now) if refused else Counter()
    return wanted, tally + desk.write(Outcomes(hopeless, now)) if hopeless else tally


def _persons(claimed: Sequence[Delivery]) -> dict[int, Person]:
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


def _refusal(delivery: Delivery, person: Person, suppressed: frozenset[Pair], now: datetime) -> Drop | Hold | None:
    expires_at = delivery.notification.expires_at
    if expires_at is not None and expires_at <= now:
        return Drop(Reason.EXPIRED)
    answer = decide(_facts(delivery, person, suppressed, now), ASKED_AGAIN)
    return None if isinstance(answer, Deliver) else answer


def _facts(delivery: Delivery, person: Person, suppressed: frozenset[Pair], now: datetime) -> Facts:
    # It is this moment that counts, even if by this clock it was released too early.
    return facts_of(delivery, person, suppressed, now, min(delivery.notification.wanted_at, now))


def still_in_hours(group: Sequence[Addressed], desk: Desk) -> tuple[list[Addressed], Counter[str]]:
    """Those of a group that may go out at this hour: a slow batch may have come into somebody's quiet hours."""
    now = desk.now()
    answers = [(item, quiet_hours(_facts(item.delivery, item.person, frozenset(), now))) for item in group]
    held = [(item.delivery, answer) for item, answer in answers if isinstance(answer, Hold)]
    tally = refuse(held, desk.using, now) if held else Counter()
    return [item for item, answer in answers if isinstance(answer, Deliver)], tally


def refuse(refused: Sequence[tuple[Delivery, Drop | Hold]], using: str, now: datetime) -> Counter[str]:
    """Claimed deliveries that may not go out now: they are held, dropped or have expired. No attempt is counted."""
    settlements = [
        Settlement(
            id=delivery.pk,
            fence=delivery.fence,
            was=DeliveryState.CLAIMED,
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
