"""Rechecks the items of claimed digests and batches, which may have waited for a provider or for a time."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from copy import copy
from datetime import datetime
from typing import Any

from django.db import transaction

from notifications.core.rules import log_text
from notifications.delivering.attempt_outcomes import build_drop_row
from notifications.delivering.groups import ClaimedDelivery
from notifications.delivering.outcome_writer import send_outcome_signal
from notifications.delivering.recheck import apply_decisions, get_state_after, load_contexts
from notifications.delivering.session import Session
from notifications.models import Delivery, NotificationLog, Suppression
from notifications.models.suppression import SuppressedAddress
from notifications.outcomes import Drop, Reason, Rule, RuleKind
from notifications.sending.gates import DIGEST_ITEM_GATES, find_obstacle, recheck
from notifications.sending.gates.facts import collect_addresses
from notifications.storage.digest_items import DigestRemoval
from notifications.storage.outbox import StateChange

DroppedItem = tuple[Delivery, Drop]


def recheck_digest_items(sendable: Sequence[ClaimedDelivery], session: Session, now: datetime) -> list[ClaimedDelivery]:
    """Remove the items that the gates now drop from the claimed digests and batches.

    Return the deliveries that may still be sent. A digest or batch without any item left gets the state of its last
    item.
    """
    using = session.using
    digests = [item for item in sendable if item.delivery.notification.digest_kind]
    addresses = collect_addresses([digest.delivery for digest in digests])
    suppressed = Suppression.objects.using(using).find_suppressed(addresses)
    items = _load_items([digest.delivery for digest in digests], using)
    dropped = {digest.delivery.pk: _find_dropped(digest, items, suppressed, now) for digest in digests}
    empty = [
        (digest.delivery, _get_drop_of_empty(dropped[digest.delivery.pk]))
        for digest in digests
        if _is_empty(digest, items, dropped)
    ]
    with transaction.atomic(using=using):
        _remove_items([(digest.delivery, dropped[digest.delivery.pk]) for digest in digests], using, now)
        tally = apply_decisions(empty, using, now) if empty else Counter()
    session.writer.count(tally)
    empty_ids = {row.pk for row, _ in empty}
    return [item for item in sendable if item.delivery.pk not in empty_ids]


def _load_items(digests: Sequence[Delivery], using: str) -> Mapping[int, Sequence[Delivery]]:
    """Return the items by notification: on its fallback channel, a batch is another delivery of the same one."""
    items: defaultdict[int, list[Delivery]] = defaultdict(list)
    for row in Delivery.objects.using(using).load_digest_items(digests):
        if row.merged_into is not None:
            items[row.merged_into.notification_id].append(row)
    return items


def _find_dropped(
    digest: ClaimedDelivery,
    items: Mapping[int, Sequence[Delivery]],
    suppressed: frozenset[SuppressedAddress],
    now: datetime,
) -> list[DroppedItem]:
    decisions = [
        (row, recheck(_move_to_channel_of(digest.delivery, row), digest.person, suppressed, now, DIGEST_ITEM_GATES))
        for row in items.get(digest.delivery.notification_id, ())
        # An item whose event or channel is no longer known stays; the digest shows its name.
        if not find_obstacle(row)
    ]
    return [(row, decision) for row, decision in decisions if isinstance(decision, Drop)]


def _move_to_channel_of(digest: Delivery, row: Delivery) -> Delivery:
    if row.channel == digest.channel:
        return row
    moved = copy(row)
    moved.channel, moved.address = digest.channel, digest.address
    return moved


def _is_empty(
    digest: ClaimedDelivery, items: Mapping[int, Sequence[Any]], dropped: Mapping[int, Sequence[Any]]
) -> bool:
    """Return whether a digest or batch has neither items nor sections of the host."""
    notification = digest.delivery.notification
    count = len(items.get(notification.pk, ()))
    if len(dropped[digest.delivery.pk]) < count or notification.values.get("sections"):
        return False
    # A digest that never had an item was sent by the host itself.
    return count > 0 or notification.digest_kind == notification.DigestKind.BATCH


def _get_drop_of_empty(dropped: Sequence[DroppedItem]) -> Drop:
    """Return the decision about its last item. A digest that is sent again may have lost all items before."""
    return dropped[-1][1] if dropped else Drop(Reason.CANCELLED, Rule(RuleKind.EMPTY_DIGEST))


def _remove_items(dropped: Sequence[tuple[Delivery, Sequence[DroppedItem]]], using: str, now: datetime) -> None:
    removals = [
        DigestRemoval(row.pk, get_state_after(drop), drop.reason, digest.pk, digest.fence)
        for digest, rows in dropped
        for row, drop in rows
    ]
    removed_ids = Delivery.objects.using(using).remove_from_digests(removals, now)
    removed = [(row, drop) for _, rows in dropped for row, drop in rows if row.pk in removed_ids]
    load_contexts([row for row, _ in removed], using)
    NotificationLog.objects.using(using).append(
        build_drop_row(row, drop.reason, log_text(drop.rule), now) for row, drop in removed
    )
    for row, drop in removed:
        change = StateChange(row.pk, row.fence, row.state, get_state_after(drop), drop.reason)
        send_outcome_signal(row, change, using)
