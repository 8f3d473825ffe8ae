"""Asking again about what a digest or batch is made of: it may have waited since, for a provider or for its hour."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from copy import copy
from datetime import datetime
from typing import Any

from django.db import transaction

from notifications.delivering.attempt import AddressedDelivery
from notifications.delivering.outcome_writer import send_outcome_signal
from notifications.delivering.recheck import apply_refusals, get_state_after, load_contexts
from notifications.delivering.record import build_drop_row
from notifications.models import Delivery, NotificationLog, Suppression
from notifications.models.suppression import Pair
from notifications.outcomes import Drop, Reason
from notifications.sending.gates import DIGEST_ITEM_GATES
from notifications.sending.gates.recheck import collect_addresses, find_obstacle, recheck
from notifications.storage.outbox import DigestRemoval, StateChange

Refused = tuple[Delivery, Drop]


def recheck_digest_items(
    wanted: list[AddressedDelivery], using: str, now: datetime
) -> tuple[list[AddressedDelivery], Counter[str]]:
    """Let leave their digests and batches what is not wanted any more; without those of which nothing is left, which
    end as their last item did and are counted."""
    wholes = [item for item in wanted if item.delivery.notification.gathers]
    if not wholes:
        return wanted, Counter()
    suppressed = Suppression.objects.using(using).find_suppressed(collect_addresses([item.delivery for item in wholes]))
    items = _items_by_whole([item.delivery for item in wholes], using)
    refused = {item.delivery.pk: _refused(item, items, suppressed, now) for item in wholes}
    ended = [(item.delivery, _end(refused[item.delivery.pk])) for item in wholes if _is_empty(item, items, refused)]
    with transaction.atomic(using=using):
        _let_leave([(item.delivery, refused[item.delivery.pk]) for item in wholes], using, now)
        tally = apply_refusals(ended, using, now) if ended else Counter()
    gone = {row.pk for row, _ in ended}
    return [item for item in wanted if item.delivery.pk not in gone], tally


def _items_by_whole(wholes: Sequence[Delivery], using: str) -> Mapping[int, Sequence[Delivery]]:
    """By notification: a batch that has gone to its fallback channel is another delivery of the same."""
    found: defaultdict[int, list[Delivery]] = defaultdict(list)
    for row in Delivery.objects.using(using).items_of(wholes):
        if row.merged_into is not None:
            found[row.merged_into.notification_id].append(row)
    return found


def _refused(
    whole: AddressedDelivery, items: Mapping[int, Sequence[Delivery]], suppressed: frozenset[Pair], now: datetime
) -> list[Refused]:
    answers = [
        (row, recheck(_as_it_goes(row, whole.delivery), whole.person, suppressed, now, DIGEST_ITEM_GATES))
        for row in items.get(whole.delivery.notification_id, ())
        # What is no longer known is told by its name.
        if not find_obstacle(row)
    ]
    return [(row, answer) for row, answer in answers if isinstance(answer, Drop)]


def _as_it_goes(row: Delivery, whole: Delivery) -> Delivery:
    if row.channel == whole.channel:
        return row
    there = copy(row)
    there.channel, there.address = whole.channel, whole.address
    return there


def _is_empty(
    whole: AddressedDelivery, items: Mapping[int, Sequence[Any]], refused: Mapping[int, Sequence[Any]]
) -> bool:
    """Whether there is nothing to tell: neither items nor sections of the host."""
    told, count = whole.delivery.notification, len(items.get(whole.delivery.notification_id, ()))
    if len(refused[whole.delivery.pk]) < count or told.values.get("sections"):
        return False
    # A digest that never had an item was sent by the host itself.
    return count > 0 or told.gathers == told.Gathers.BATCH


def _end(refused: Sequence[Refused]) -> Drop:
    """As the last of its items did; what is sent again may have lost them all before."""
    return refused[-1][1] if refused else Drop(Reason.CANCELLED, "nothing is left of it")


def _let_leave(refused: Sequence[tuple[Delivery, Sequence[Refused]]], using: str, now: datetime) -> None:
    leaving = [
        DigestRemoval(row.pk, get_state_after(answer), answer.reason, whole.pk, whole.fence)
        for whole, rows in refused
        for row, answer in rows
    ]
    left = Delivery.objects.using(using).leave(leaving, now)
    ours = [(row, answer) for _, rows in refused for row, answer in rows if row.pk in left]
    load_contexts([row for row, _ in ours], using)
    NotificationLog.objects.using(using).append(build_drop_row(row, item.reason, item.rule, now) for row, item in ours)
    for row, answer in ours:
        send_outcome_signal(
            row, StateChange(row.pk, row.fence, row.state, get_state_after(answer), answer.reason), using
        )
