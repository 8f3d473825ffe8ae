"""Where a delivery goes when its own address or channel is exhausted: to the account's address, or a fallback channel.

A channel is exhausted for one delivery when that is dead, or while all its providers are being left alone. Events name
fallbacks (``fallback={"sms": "email"}``); the new delivery passes the same gates as those that ``send()`` makes. What
the gates refuse there stays where it is, for it may still go out when its own channel is back.

An address that a user has given in their settings is exhausted when it is suppressed. The address of their account
comes next, on the same channel and before any fallback channel.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from django.db import transaction

from notifications import conf
from notifications.core.addresses import ChosenAddress
from notifications.core.channel_classes import get_address_kind
from notifications.delivering.record import build_drop_row
from notifications.events import NOTIFICATION_EVENTS
from notifications.models import Delivery, NotificationLog, Suppression
from notifications.models.queued_signal import tell_on_commit
from notifications.models.suppression import hash_normalized
from notifications.outcomes import DeliveryState, Drop, Reason
from notifications.sending.gates import Facts, Person, decide
from notifications.sending.gates.recheck import load_recipients
from notifications.storage.outbox import StateChange

EXHAUSTED = frozenset({Reason.TEMPORARY, Reason.PERMANENT, Reason.CONFIGURATION, Reason.LOST_CONTACT})
GONE = ("dead", "dropped", "cancelled", "expired", "merged")
AT_ONCE = 100

Going = tuple[Delivery, Facts]


def get_fallback_channel(delivery: Delivery) -> str:
    """The channel that takes over from this delivery's, if its event names one and the site has it."""
    event = NOTIFICATION_EVENTS.named(delivery.notification.event)
    named = event.fallback.get(delivery.channel, "") if event else ""
    return named if named in conf.current().enabled_channels else ""


def queue_fallbacks(settled: Iterable[tuple[Delivery, StateChange]], using: str, now: datetime) -> None:
    """Make deliveries on the fallback channels of those that have died; to be called in the same transaction."""
    dead = {row: news for row, news in settled if news.state == DeliveryState.DEAD and news.reason in EXHAUSTED}
    moved = queue_to_account_address([row for row, news in dead.items() if news.reason == Reason.PERMANENT], using, now)
    stuck = [row for row in dead if row.pk not in moved]
    going, refused = _sorted_by_the_gates(_with_fallback(stuck, using), using, now)
    NotificationLog.objects.using(using).append(
        build_drop_row(row, answer.reason, f"{get_fallback_channel(row)}: {answer.rule}", now)
        for row, answer in refused
    )
    _queue(going, using, now)


def queue_to_account_address(rows: Sequence[Delivery], using: str, now: datetime) -> set[int]:
    """Make deliveries to the account's address in place of those whose own address is suppressed by now.

    To be called in the transaction that ends them.

    :returns: the ids of those for which it made one.
    """
    own = [row for row in rows if row.recipient_id is not None and row.address]
    going = [
        (row, facts)
        for row, facts in _with_facts({row: row.channel for row in own}, using, now)
        if hash_normalized(facts.rejected_address) == hash_normalized(row.address)
        and not isinstance(decide(facts), Drop)
    ]
    _queue(going, using, now)
    return {row.pk for row, _ in going}


class FallbackTakeover:
    """What waits on channels that are closed goes elsewhere. Of one worker thread, so that each look goes on where the
    last one ended, and what cannot go stands in nobody's way."""

    def __init__(self, using: str) -> None:
        self.using = using
        self._after: dict[str, int] = {}

    def take_over(self, closed: Collection[str], owner: str, now: datetime, lease: datetime) -> list[Going]:
        """Drop what waits on closed channels and has a fallback that works, and queue it there."""
        return [
            going
            for channel in closed
            if (events := _with_working_fallback(channel, closed))
            for going in self._take_over(channel, events, owner, now, lease)
        ]

    def _take_over(
        self, channel: str, events: Sequence[str], owner: str, now: datetime, lease: datetime
    ) -> list[Going]:
        ids = self._next_notifications(channel, events)
        if not ids:
            return []
        outbox = Delivery.objects.using(self.using)
        others = conf.current().enabled_channels - {channel}
        with transaction.atomic(using=self.using):
            rows = outbox.with_notifications(outbox.claim(owner, now, lease, AT_ONCE, ids, without=others))
            mine = _sorted_by_the_gates(_with_fallback(rows, self.using), self.using, now)[0]
            going = _without_lost_causes(mine, self.using)
            self._let_go(rows, going, now)
            _queue(going, self.using, now)
        return going

    def _next_notifications(self, channel: str, events: Sequence[str]) -> list[int]:
        # The state as a literal, so that the partial index serves.
        ready = Delivery.objects.using(self.using).extra(where=["klaxon_delivery.state = 'ready'"])
        waiting = ready.filter(channel=channel, notification__event__in=events)
        after = self._after.get(channel, 0)
        found = (
            waiting.filter(notification_id__gt=after)
            .order_by("notification_id")
            .values_list("notification_id", flat=True)
        )
        ids = list(found.distinct()[:AT_ONCE])
        self._after[channel] = ids[-1] if len(ids) == AT_ONCE else 0
        return ids

    def _let_go(self, rows: Sequence[Delivery], going: Sequence[Going], now: datetime) -> None:
        away = {row.pk for row, _ in going}
        was = DeliveryState.CLAIMED
        news = [
            StateChange(row.pk, row.fence, was, DeliveryState.DROPPED, Reason.FALLBACK)
            if row.pk in away
            else StateChange(row.pk, row.fence, was, DeliveryState.READY, row.reason, provider=row.provider)
            for row in rows
        ]
        Delivery.objects.using(self.using).settle(news, now)
        drops = [build_drop_row(row, Reason.FALLBACK, f"goes to {facts.channel} instead", now) for row, facts in going]
        NotificationLog.objects.using(self.using).append(drops)


def _with_working_fallback(channel: str, closed: Collection[str]) -> list[str]:
    """The names of the events that have a fallback for this channel which is not closed itself."""
    working = conf.current().enabled_channels - set(closed)
    return [event.name for event in NOTIFICATION_EVENTS.values() if event.fallback.get(channel) in working]


def _with_fallback(rows: Sequence[Delivery], using: str) -> list[Delivery]:
    """Those that have one, but for batches of which everything is on its way there by itself."""
    found = [row for row in rows if get_fallback_channel(row)]
    batches = {row.notification_id: get_fallback_channel(row) for row in found if row.notification.gathers}
    if not batches:
        return found
    outbox = Delivery.objects.using(using)
    items = outbox.filter(merged_into__notification__in=batches)
    keys = list(items.values_list("merged_into__notification", "notification", "recipient_key"))
    there = outbox.filter(notification__in={key[1] for key in keys}, channel__in=set(batches.values()))
    copies = set(there.values_list("notification", "recipient_key", "channel"))
    lacking = {whole for whole, notification, who in keys if (notification, who, batches[whole]) not in copies}
    return [row for row in found if row.notification_id in lacking or row.notification_id not in batches]


def _sorted_by_the_gates(
    rows: Sequence[Delivery], using: str, now: datetime
) -> tuple[list[Going], list[tuple[Delivery, Drop]]]:
    going, refused = [], []
    for row, facts in _with_facts({row: get_fallback_channel(row) for row in rows}, using, now):
        answer = decide(facts)
        # Whoever must wait there is held by the worker that takes the new delivery.
        if isinstance(answer, Drop):
            refused.append((row, answer))
        else:
            going.append((row, facts))
    return going, refused


def _without_lost_causes(going: Sequence[Going], using: str) -> list[Going]:
    """Without those who had it on the fallback channel already, in vain."""
    of_these = Delivery.objects.using(using).filter(notification__in={row.notification_id for row, _ in going})
    gone = set(of_these.filter(state__in=GONE).values_list("notification_id", "recipient_key", "channel"))
    return [(row, facts) for row, facts in going if (row.notification_id, facts.person.key, facts.channel) not in gone]


def _with_facts(channels: Mapping[Delivery, str], using: str, now: datetime) -> Iterator[Going]:
    """Each row with the facts about it on another channel, read in a fixed number of queries for each cluster."""
    persons = load_recipients([*channels])
    kinds = {row.pk: get_address_kind(channel) for row, channel in channels.items()}
    reaches = {row.pk: persons[row.pk].reach(channel, kinds[row.pk]) for row, channel in channels.items()}
    addresses = ((kinds[pk], address) for pk, its in reaches.items() for address in (its.address, its.alternative))
    pairs = {(kind, address) for kind, address in addresses if address and kind != "user"}
    suppressed = Suppression.objects.using(using).find_suppressed(pairs)
    for row, channel in channels.items():
        found, kind = reaches[row.pk], kinds[row.pk]
        if found.alternative and (kind, hash_normalized(found.address)) in suppressed:
            found = found if (kind, hash_normalized(found.alternative)) in suppressed else found.use_alternative()
        yield row, replace(_facts(row, channel, persons[row.pk], kind, found, now), suppressed=suppressed)


def _facts(row: Delivery, channel: str, person: Person, kind: str, found: ChosenAddress, now: datetime) -> Facts:
    told = row.notification
    return Facts(
        NOTIFICATION_EVENTS.find(told.event),
        channel,
        kind,
        person,
        found.address,
        rejected_address=found.rejected_address,
        topic=told.topic,
        actor_id=told.actor_id,
        now=now,
        wanted_at=min(told.wanted_at, now),
        has_own_time=told.has_own_time,
    )


def _queue(going: Sequence[Going], using: str, now: datetime) -> None:
    made = [
        Delivery.to(
            row.notification,
            facts.channel,
            facts.person.key,
            facts.kept_address,
            recipient_id=row.recipient_id,
            score=row.score,
        )
        for row, facts in going
    ]
    # Somebody may have it on that channel anyway.
    Delivery.objects.using(using).bulk_create(made, ignore_conflicts=True)
    NotificationLog.objects.using(using).append(
        NotificationLog.passed_over(
            row.notification,
            now,
            facts.rejected_address,
            facts.kind,
            facts.channel,
            facts.person.key,
            recipient_id=row.recipient_id,
        )
        for row, facts in going
        if facts.rejected_address
    )
    if made:
        tell_on_commit({row.notification_id for row, _ in going}, using)
