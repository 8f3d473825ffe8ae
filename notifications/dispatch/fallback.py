"""The fallback channel: where a delivery goes when its own channel is exhausted.

A channel is exhausted for one delivery when that is dead, or while all its providers are being left alone. Events name
fallbacks (``fallback={"sms": "email"}``); the new delivery passes the same gates as those that ``send()`` makes.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial

from django.db import transaction

from notifications import conf, partitions, signals
from notifications.channel_classes import address_kind
from notifications.dispatch.record import drop_row
from notifications.events import NOTIFICATION_EVENTS
from notifications.gates import Facts, Person, decide, people
from notifications.models import Delivery, Notification, NotificationLog, Suppression
from notifications.models.outbox import Settlement
from notifications.outcomes import DeliveryState, Drop, Reason

EXHAUSTED = frozenset({Reason.TEMPORARY, Reason.PERMANENT, Reason.CONFIGURATION, Reason.LOST_CONTACT})
AT_ONCE = 100


def fallback_of(delivery: Delivery) -> str:
    """The channel that takes over from this delivery's, if its event names one and the site has it."""
    event = NOTIFICATION_EVENTS.named(delivery.notification.event)
    named = event.fallback.get(delivery.channel, "") if event else ""
    return named if named in conf.current().enabled_channels else ""


def fall_back(settled: Iterable[tuple[Delivery, Settlement]], using: str, now: datetime) -> None:
    """Make deliveries on the fallback channels of those that have died; to be called in the same transaction."""
    dead = [row for row, news in settled if news.state == DeliveryState.DEAD and news.reason in EXHAUSTED]
    queue_on_fallback([row for row in dead if fallback_of(row)], using, now)


def take_over(closed: Iterable[str], owner: str, using: str, now: datetime, lease: datetime) -> Counter[str]:
    """What waits on channels that are closed, and has a fallback, goes there now."""
    tally: Counter[str] = Counter()
    for channel in closed:
        events = [event.name for event in NOTIFICATION_EVENTS.values() if channel in event.fallback]
        if events:
            tally += _take_over(channel, events, owner, using, now, lease)
    return tally


def _take_over(
    channel: str, events: Sequence[str], owner: str, using: str, now: datetime, lease: datetime
) -> Counter[str]:
    outbox = Delivery.objects.using(using)
    waiting = outbox.filter(state=DeliveryState.READY, channel=channel, notification__event__in=events)
    ids = list(waiting.values_list("notification_id", flat=True).distinct()[:AT_ONCE])
    if not ids:
        return Counter()
    others = conf.current().enabled_channels - {channel}
    with transaction.atomic(using=using):
        rows = outbox.with_notifications(outbox.claim(owner, now, lease, AT_ONCE, ids, without=others))
        there = [row for row in rows if fallback_of(row)]
        _let_go(rows, there, using, now)
        queue_on_fallback(there, using, now)
    return Counter({DeliveryState.DROPPED: len(there)})


def _let_go(rows: Sequence[Delivery], there: Sequence[Delivery], using: str, now: datetime) -> None:
    kept = {row.pk for row in there}
    news = [
        Settlement(row.pk, row.fence, DeliveryState.CLAIMED, DeliveryState.DROPPED, Reason.FALLBACK)
        if row.pk in kept
        else Settlement(row.pk, row.fence, DeliveryState.CLAIMED, DeliveryState.READY)
        for row in rows
    ]
    Delivery.objects.using(using).settle(news, now)
    drops = [drop_row(row, Reason.FALLBACK, f"goes to {fallback_of(row)} instead", now) for row in there]
    NotificationLog.objects.using(using).append(drops)


def queue_on_fallback(rows: Sequence[Delivery], using: str, now: datetime) -> None:
    found = [_facts(row, using, now) for row in rows]
    answers = [(row, facts, decide(facts)) for row, facts in zip(rows, found, strict=True)]
    made = [
        Delivery.to(
            row.notification, facts.channel, facts.person.key, facts.kept_address,
            recipient_id=row.recipient_id, score=row.score,
        )
        for row, facts, answer in answers
        if not isinstance(answer, Drop)
    ]  # fmt: skip
    # Somebody may have it on that channel anyway.
    Delivery.objects.using(using).bulk_create(made, ignore_conflicts=True)
    drops = [
        drop_row(row, answer.reason, f"{facts.channel}: {answer.rule}", now)
        for row, facts, answer in answers
        if isinstance(answer, Drop)
    ]
    NotificationLog.objects.using(using).append(drops)
    if made:
        ids = tuple({row.notification_id for row in rows})
        fact = partial(_tell_queued, partitions.current(), ids)
        transaction.on_commit(fact, using=using, robust=True)


def _facts(row: Delivery, using: str, now: datetime) -> Facts:
    channel = fallback_of(row)
    known = people(row.notification.cluster, [row.recipient_id] if row.recipient_id is not None else [])
    person = known.get(row.recipient_id) or Person(row.recipient_key)
    kind = address_kind(channel)
    address = person.address_for(channel, kind)
    pairs = {(kind, address)} if address and kind != "user" else set()
    suppressed = Suppression.objects.using(using).among(pairs)
    event = NOTIFICATION_EVENTS.find(row.notification.event)
    return Facts(event, channel, kind, person, address, suppressed).about(row.notification, now)


def _tell_queued(partition: str, notification_ids: tuple[int, ...]) -> None:
    signals.notifications_queued.send_robust(
        sender=Notification, partition=partition, notification_ids=notification_ids
    )
