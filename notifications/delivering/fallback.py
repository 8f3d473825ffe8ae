"""Queues a delivery again for another address or channel, if its own address or channel is exhausted.

A channel is exhausted for a delivery if the delivery is dead, or while the circuits of all its providers are open. An
event names fallback channels (``fallback={"sms": "email"}``). The new delivery passes the same gates as a delivery that
``send()`` creates. If a gate drops it, the delivery stays on its own channel, because it can still be sent when that
channel is available again.

An address from the settings of a user is exhausted if it is suppressed. Klaxon then uses the address of the user's
account on the same channel, before any fallback channel.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from copy import copy
from datetime import datetime

from django.db import transaction

from notifications import conf
from notifications.conf import get_address_kind
from notifications.core.rules import log_text
from notifications.delivering.attempt_outcomes import build_drop_row, build_release
from notifications.events import NOTIFICATION_EVENTS
from notifications.models import Delivery, NotificationLog, Suppression
from notifications.models.notification import send_signal_on_commit
from notifications.models.suppression import hash_normalized, is_suppressed
from notifications.outcomes import DeliveryState, Drop, Reason
from notifications.sending.gates import Facts, decide
from notifications.sending.gates.facts import build_facts, load_delivery_recipients
from notifications.storage.outbox import StateChange

EXHAUSTED_REASONS = frozenset({Reason.TEMPORARY, Reason.PERMANENT, Reason.CONFIGURATION, Reason.LOST_CONTACT})
UNSENT_END_STATES = ("dead", "dropped", "cancelled", "expired", "merged")
TAKEOVER_LIMIT = 100
"""The most notifications and deliveries of one channel in one transaction."""

Redirection = tuple[Delivery, Facts]
"""A delivery, and the facts about it on the other address or channel."""


def get_fallback_channel(delivery: Delivery) -> str:
    """Return the fallback channel of a delivery, or ``""`` if its event names none that is enabled."""
    event = NOTIFICATION_EVENTS.named(delivery.notification.event)
    name = event.fallback.get(delivery.channel, "") if event else ""
    return name if name in conf.current().enabled_channels else ""


def queue_fallbacks(settled: Iterable[tuple[Delivery, StateChange]], using: str, now: datetime) -> None:
    """Queue the deliveries that have become dead for another address or channel.

    Call this in the transaction that writes their state.
    """
    dead = {
        row: change
        for row, change in settled
        if change.state == DeliveryState.DEAD and change.reason in EXHAUSTED_REASONS
    }
    permanent = [row for row, change in dead.items() if change.reason == Reason.PERMANENT]
    redirected_ids = queue_to_account_address(permanent, using, now)
    remaining = [row for row in dead if row.pk not in redirected_ids]
    redirections, dropped = _ask_gates(_filter_with_fallback(remaining, using), using, now)
    NotificationLog.objects.using(using).append(
        build_drop_row(row, drop.reason, f"{get_fallback_channel(row)}: {log_text(drop.rule)}", now)
        for row, drop in dropped
    )
    _queue(redirections, using, now)


def queue_to_account_address(rows: Sequence[Delivery], using: str, now: datetime) -> set[int]:
    """Queue deliveries for the address of the account, if the address in the user's settings is now suppressed.

    Call this in the transaction that ends them.

    :returns: the ids of the deliveries that have been queued again.
    """
    with_own_address = [row for row in rows if row.recipient_id is not None and row.address]
    redirections = [
        (row, facts)
        for row, facts in _load_facts({row: row.channel for row in with_own_address}, using, now)
        if hash_normalized(facts.rejected_address) == hash_normalized(row.address)
        and not isinstance(decide(facts), Drop)
    ]
    _queue(redirections, using, now)
    return {row.pk for row, _ in redirections}


class FallbackTakeover:
    """Moves deliveries from exhausted channels to fallback channels.

    Each worker thread has one. It continues where its last call ended, so that deliveries that cannot be moved do not
    block the others.
    """

    def __init__(self, using: str) -> None:
        self.using = using
        self._last_ids: dict[str, int] = {}

    def take_over(self, exhausted: Collection[str], owner: str, now: datetime, lease: datetime) -> list[Redirection]:
        """Drop the deliveries that wait on exhausted channels and can be sent on a fallback channel; queue them there.

        :param exhausted: the channels without a provider that may be tried now.
        """
        return [
            redirection
            for channel in exhausted
            if (events := _find_events_with_fallback(channel, exhausted))
            for redirection in self._take_over(channel, events, owner, now, lease)
        ]

    def _take_over(
        self, channel: str, events: Sequence[str], owner: str, now: datetime, lease: datetime
    ) -> list[Redirection]:
        ids = self._find_next_notifications(channel, events)
        if not ids:
            return []
        outbox = Delivery.objects.using(self.using)
        others = conf.current().enabled_channels - {channel}
        with transaction.atomic(using=self.using):
            claimed = outbox.claim(owner, lease, TAKEOVER_LIMIT, ids, excluded_channels=others)
            rows = outbox.with_notifications(claimed)
            accepted, _ = _ask_gates(_filter_with_fallback(rows, self.using), self.using, now)
            redirections = _exclude_failed(accepted, self.using)
            self._write_states(rows, redirections, now)
            _queue(redirections, self.using, now)
        return redirections

    def _find_next_notifications(self, channel: str, events: Sequence[str]) -> list[int]:
        # The state must be a literal, or the partial index is not used.
        ready = Delivery.objects.using(self.using).extra(where=["klaxon_delivery.state = 'ready'"])
        waiting = ready.filter(channel=channel, notification__event__in=events)
        found = (
            waiting.filter(notification_id__gt=self._last_ids.get(channel, 0))
            .order_by("notification_id")
            .values_list("notification_id", flat=True)
        )
        ids = list(found.distinct()[:TAKEOVER_LIMIT])
        self._last_ids[channel] = ids[-1] if len(ids) == TAKEOVER_LIMIT else 0
        return ids

    def _write_states(self, rows: Sequence[Delivery], redirections: Sequence[Redirection], now: datetime) -> None:
        """Drop the deliveries that are redirected, and give back the others."""
        redirected_ids = {row.pk for row, _ in redirections}
        changes = [
            StateChange(row.pk, row.fence, DeliveryState.CLAIMED, DeliveryState.DROPPED, Reason.FALLBACK)
            if row.pk in redirected_ids
            else build_release(row)
            for row in rows
        ]
        Delivery.objects.using(self.using).settle(changes, now)
        drops = [
            build_drop_row(row, Reason.FALLBACK, f"sent to {facts.channel} instead", now) for row, facts in redirections
        ]
        NotificationLog.objects.using(self.using).append(drops)


def _find_events_with_fallback(channel: str, exhausted: Collection[str]) -> list[str]:
    """Return the names of the events whose fallback for this channel is enabled and not exhausted."""
    usable = conf.current().enabled_channels - set(exhausted)
    return [event.name for event in NOTIFICATION_EVENTS.values() if event.fallback.get(channel) in usable]


def _filter_with_fallback(rows: Sequence[Delivery], using: str) -> list[Delivery]:
    """Return the deliveries that have a fallback channel.

    Leave out batches whose items all have a delivery on the fallback channel already.
    """
    found = [row for row in rows if get_fallback_channel(row)]
    batches = {row.notification_id: get_fallback_channel(row) for row in found if row.notification.digest_kind}
    if not batches:
        return found
    outbox = Delivery.objects.using(using)
    items = outbox.filter(merged_into__notification__in=batches)
    keys = list(items.values_list("merged_into__notification", "notification", "recipient_key"))
    on_fallback = outbox.filter(notification__in={key[1] for key in keys}, channel__in=set(batches.values()))
    existing = set(on_fallback.values_list("notification", "recipient_key", "channel"))
    incomplete = {
        batch
        for batch, notification, recipient_key in keys
        if (notification, recipient_key, batches[batch]) not in existing
    }
    return [row for row in found if row.notification_id in incomplete or row.notification_id not in batches]


def _ask_gates(
    rows: Sequence[Delivery], using: str, now: datetime
) -> tuple[list[Redirection], list[tuple[Delivery, Drop]]]:
    """Return the deliveries that may be sent on their fallback channels, and those that a gate drops there."""
    accepted, dropped = [], []
    for row, facts in _load_facts({row: get_fallback_channel(row) for row in rows}, using, now):
        decision = decide(facts)
        # If a gate says hold, the worker that claims the new delivery holds it.
        if isinstance(decision, Drop):
            dropped.append((row, decision))
        else:
            accepted.append((row, facts))
    return accepted, dropped


def _exclude_failed(redirections: Sequence[Redirection], using: str) -> list[Redirection]:
    """Leave out the recipients whose delivery on the fallback channel has ended without being sent."""
    ids = {row.notification_id for row, _ in redirections}
    ended = Delivery.objects.using(using).filter(notification__in=ids, state__in=UNSENT_END_STATES)
    failed = set(ended.values_list("notification_id", "recipient_key", "channel"))
    return [
        (row, facts)
        for row, facts in redirections
        if (row.notification_id, facts.person.key, facts.channel) not in failed
    ]


def _load_facts(channels: Mapping[Delivery, str], using: str, now: datetime) -> Iterator[Redirection]:
    """Yield each delivery with the facts about it on a channel.

    The number of queries for each cluster does not depend on the number of deliveries.
    """
    persons = load_delivery_recipients([*channels])
    kinds = {row.pk: get_address_kind(channel) for row, channel in channels.items()}
    chosen = {row.pk: persons[row.pk].choose_address(channel, kinds[row.pk]) for row, channel in channels.items()}
    addresses = ((kinds[pk], address) for pk, it in chosen.items() for address in (it.address, it.alternative))
    pairs = {(kind, address) for kind, address in addresses if address and kind != "user"}
    suppressed = Suppression.objects.using(using).find_suppressed(pairs)
    for row, channel in channels.items():
        address, kind, cluster_id = chosen[row.pk], kinds[row.pk], row.notification.cluster_id
        if address.alternative and is_suppressed(suppressed, kind, address.address, cluster_id):
            is_usable = not is_suppressed(suppressed, kind, address.alternative, cluster_id)
            address = address.use_alternative() if is_usable else address
        moved = copy(row)
        moved.channel, moved.address = channel, address.address
        yield row, build_facts(moved, persons[row.pk], suppressed, now, rejected_address=address.rejected_address)


def _queue(redirections: Sequence[Redirection], using: str, now: datetime) -> None:
    deliveries = [
        Delivery.build(
            row.notification,
            facts.channel,
            facts.person.key,
            facts.stored_address,
            recipient_id=row.recipient_id,
            score=row.score,
            due_at=now,
        )
        for row, facts in redirections
    ]
    # The recipient may already have a delivery on that channel.
    Delivery.objects.using(using).bulk_create(deliveries, ignore_conflicts=True)
    NotificationLog.objects.using(using).append(
        NotificationLog.for_rejected_address(
            row.notification,
            now,
            facts.rejected_address,
            facts.kind,
            facts.channel,
            facts.person.key,
            recipient_id=row.recipient_id,
        )
        for row, facts in redirections
        if facts.rejected_address
    )
    if deliveries:
        send_signal_on_commit({row.notification_id for row, _ in redirections}, using)
