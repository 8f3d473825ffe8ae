"""Rechecks the items of claimed digests and batches, which may have waited for a provider or for a time."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from copy import copy
from datetime import datetime
from typing import Any

from django.db import transaction

from notifications.core.rules import log_text
from notifications.delivering.attempt import AddressedDelivery
from notifications.delivering.attempt_outcomes import build_drop_row
from notifications.delivering.outcome_writer import send_outcome_signal
from notifications.delivering.recheck import apply_refusals, get_state_after, load_contexts
from notifications.models import Delivery, NotificationLog, Suppression
from notifications.models.suppression import Pair
from notifications.outcomes import Drop, Reason, Rule, RuleKind
from notifications.sending.gates import DIGEST_ITEM_GATES, find_obstacle, recheck
from notifications.sending.gates.facts import collect_addresses
from notifications.storage.digest_items import DigestRemoval
from notifications.storage.outbox import StateChange

RefusedItem = tuple[Delivery, Drop]


def recheck_digest_items(
    sendable: list[AddressedDelivery], using: str, now: datetime
) -> tuple[list[AddressedDelivery], Counter[str]]:
    """Remove the items that the gates now refuse from the claimed digests and batches.

    Return the deliveries that may still be sent. A digest or batch without any item left gets the state of its last
    item and is counted instead.
    """
    digests = [item for item in sendable if item.delivery.notification.digest_kind]
    if not digests:
        return sendable, Counter()
    addresses = collect_addresses([digest.delivery for digest in digests])
    suppressed = Suppression.objects.using(using).find_suppressed(addresses)
    items = _load_items([digest.delivery for digest in digests], using)
    refused = {digest.delivery.pk: _find_refused(digest, items, suppressed, now) for digest in digests}
    empty = [
        (digest.delivery, _get_answer_for_empty(refused[digest.delivery.pk]))
        for digest in digests
        if _is_empty(digest, items, refused)
    ]
    with transaction.atomic(using=using):
        _remove_items([(digest.delivery, refused[digest.delivery.pk]) for digest in digests], using, now)
        tally = apply_refusals(empty, using, now) if empty else Counter()
    empty_ids = {row.pk for row, _ in empty}
    return [item for item in sendable if item.delivery.pk not in empty_ids], tally


def _load_items(digests: Sequence[Delivery], using: str) -> Mapping[int, Sequence[Delivery]]:
    """Return the items by notification: on its fallback channel, a batch is another delivery of the same one."""
    items: defaultdict[int, list[Delivery]] = defaultdict(list)
    for row in Delivery.objects.using(using).load_digest_items(digests):
        if row.merged_into is not None:
            items[row.merged_into.notification_id].append(row)
    return items


def _find_refused(
    digest: AddressedDelivery, items: Mapping[int, Sequence[Delivery]], suppressed: frozenset[Pair], now: datetime
) -> list[RefusedItem]:
    answers = [
        (row, recheck(_move_to_channel_of(digest.delivery, row), digest.person, suppressed, now, DIGEST_ITEM_GATES))
        for row in items.get(digest.delivery.notification_id, ())
        # An item whose event or channel is no longer known stays; the digest shows its name.
        if not find_obstacle(row)
    ]
    return [(row, answer) for row, answer in answers if isinstance(answer, Drop)]


def _move_to_channel_of(digest: Delivery, row: Delivery) -> Delivery:
    if row.channel == digest.channel:
        return row
    moved = copy(row)
    moved.channel, moved.address = digest.channel, digest.address
    return moved


def _is_empty(
    digest: AddressedDelivery, items: Mapping[int, Sequence[Any]], refused: Mapping[int, Sequence[Any]]
) -> bool:
    """Return whether a digest or batch has neither items nor sections of the host."""
    notification = digest.delivery.notification
    count = len(items.get(notification.pk, ()))
    if len(refused[digest.delivery.pk]) < count or notification.values.get("sections"):
        return False
    # A digest that never had an item was sent by the host itself.
    return count > 0 or notification.digest_kind == notification.DigestKind.BATCH


def _get_answer_for_empty(refused: Sequence[RefusedItem]) -> Drop:
    """Return the answer for its last item. A digest that is sent again may have lost all items before."""
    return refused[-1][1] if refused else Drop(Reason.CANCELLED, Rule(RuleKind.EMPTY_DIGEST))


def _remove_items(refused: Sequence[tuple[Delivery, Sequence[RefusedItem]]], using: str, now: datetime) -> None:
    removals = [
        DigestRemoval(row.pk, get_state_after(answer), answer.reason, digest.pk, digest.fence)
        for digest, rows in refused
        for row, answer in rows
    ]
    removed_ids = Delivery.objects.using(using).remove_from_digests(removals, now)
    removed = [(row, answer) for _, rows in refused for row, answer in rows if row.pk in removed_ids]
    load_contexts([row for row, _ in removed], using)
    NotificationLog.objects.using(using).append(
        build_drop_row(row, answer.reason, log_text(answer.rule), now) for row, answer in removed
    )
    for row, answer in removed:
        change = StateChange(row.pk, row.fence, row.state, get_state_after(answer), answer.reason)
        send_outcome_signal(row, change, using)
