"""One attempt at a group of deliveries: prepare, mark as sending, send, record."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import DatabaseError, transaction

from notifications import conf, partitions, signals
from notifications.channel_classes import address_kind
from notifications.channels import BaseChannel
from notifications.dispatch.record import Attempted, attempt_row, settlement
from notifications.events import NOTIFICATION_EVENTS
from notifications.gates import Person
from notifications.models import Delivery, NotificationLog, Suppression
from notifications.models.outbox import Settlement
from notifications.outcomes import DeliveryState, Reason, Receipt, Verdict
from notifications.rendering import locale_of, render, variables

logger = logging.getLogger("notifications.dispatch")

SIGNAL_OF = {
    DeliveryState.SENT: signals.delivery_sent,
    DeliveryState.DEAD: signals.delivery_failed,
    DeliveryState.DROPPED: signals.delivery_dropped,
}


@dataclass(frozen=True)
class Addressed:
    """A claimed delivery with the person it goes to."""

    delivery: Delivery
    person: Person


@dataclass(frozen=True)
class Desk:
    """Where an attempt is made: the database, its clock, and whether others still know that this worker lives."""

    using: str
    now: Callable[[], datetime]
    may_go_on: Callable[[], bool] = lambda: True


@dataclass(frozen=True)
class Prepared:
    delivery: Delivery
    message: Any


def attempt(channel: BaseChannel, group: Sequence[Addressed], desk: Desk) -> Counter[str]:
    """Try a group of one channel's deliveries; returns how many came to which state."""
    prepared, tally = _prepare(channel, group, desk)
    if not prepared:
        return tally
    if channel.transactional:
        with transaction.atomic(using=desk.using):
            return tally + _send(channel, prepared, desk)
    return tally + _send(channel, prepared, desk)


def _prepare(channel: BaseChannel, group: Sequence[Addressed], desk: Desk) -> tuple[list[Prepared], Counter[str]]:
    prepared, failed = [], []
    for addressed in group:
        try:
            prepared.append(Prepared(addressed.delivery, _message(channel, addressed)))
        except DatabaseError:
            # A template or a transform read something while the database was away. That says nothing about it.
            raise
        except Exception as error:
            # Whatever a template, a transform or a channel does wrong here will go wrong again: a dead letter.
            logger.exception("Delivery %s cannot be rendered.", addressed.delivery.pk)
            receipt = Receipt(None, Verdict.PERMANENT, error=f"{type(error).__name__}: {error}")
            failed.append(Attempted(addressed.delivery, receipt, 0.0))
    return prepared, bury(failed, Reason.RENDERING, desk.using, desk.now()) if failed else Counter()


def _message(channel: BaseChannel, addressed: Addressed) -> Any:
    delivery, notification = addressed.delivery, addressed.delivery.notification
    event = NOTIFICATION_EVENTS.find(notification.event)
    locale = locale_of(addressed.person.settings)
    words = variables(event, delivery.channel, notification, addressed.person.user, locale)
    parts = (channel.required_parts, channel.optional_parts)
    rendered = render(event.name, delivery.channel, *parts, words, locale)
    return channel.prepare(delivery, rendered)


def bury(failed: Sequence[Attempted], reason: Reason, using: str, now: datetime) -> Counter[str]:
    """Claimed deliveries that cannot even be tried become dead letters."""
    settlements = [
        Settlement(item.delivery.pk, item.delivery.fence, DeliveryState.CLAIMED, DeliveryState.DEAD, reason)
        for item in failed
    ]
    return _record(failed, settlements, using, now)


def _send(channel: BaseChannel, prepared: Sequence[Prepared], desk: Desk) -> Counter[str]:
    patience = conf.current().lease_seconds + channel.patience * len(prepared)
    lease = desk.now() + timedelta(seconds=patience)
    # Committed before the call (unless the channel writes to this very database): should this process die now, the
    # row says that it may have been sent.
    ours = Delivery.objects.using(desk.using).mark_sending([item.delivery for item in prepared], lease)
    mine = [item for item in prepared if item.delivery.pk in ours]
    for item in mine:
        item.delivery.attempts += 1
    attempted = _hand_over(channel, mine, desk)
    now = desk.now()
    return _record(attempted, [settlement(item, now) for item in attempted], desk.using, now)


def _hand_over(channel: BaseChannel, prepared: Sequence[Prepared], desk: Desk) -> list[Attempted]:
    waiting = {id(item.message): item.delivery for item in prepared}
    attempted: list[Attempted] = []
    error = "The channel gave no receipt."
    since = time.monotonic()
    try:
        for receipt in channel.send([item.message for item in prepared]):
            delivery, before, since = waiting.pop(id(receipt.message)), since, time.monotonic()
            attempted.append(Attempted(delivery, receipt, since - before))
            if waiting and not desk.may_go_on():
                # Others may be taking the rest by now, and will say what became of it.
                logger.warning("The heartbeat is not felt; %d deliveries of a group are left to others.", len(waiting))
                return attempted
    except Exception as raised:
        if channel.transactional:
            raise  # our own database: nothing was sent, and the transaction takes it all back
        logger.exception("Channel %s failed in the middle of a group.", type(channel).__name__)
        error = f"{type(raised).__name__}: {raised}"
    lost = Receipt(None, Verdict.UNKNOWN, error=error)
    return attempted + [Attempted(delivery, lost, time.monotonic() - since) for delivery in waiting.values()]


def _record(
    attempted: Sequence[Attempted], settlements: Sequence[Settlement], using: str, now: datetime
) -> Counter[str]:
    """States and log rows in one transaction. What is no longer ours is logged too: it was tried."""
    with transaction.atomic(using=using):
        written = Delivery.objects.using(using).settle(settlements, now)
        rows = [attempt_row(item, news.reason, now) for item, news in zip(attempted, settlements, strict=True)]
        NotificationLog.objects.using(using).append(rows)
        bad = [
            (address_kind(item.delivery.channel), item.delivery.address) for item in attempted if item.receipt.suppress
        ]
        Suppression.objects.using(using).suppress(bad, Suppression.Why.HARD_BOUNCE, now)
        for item, news in zip(attempted, settlements, strict=True):
            if news.id in written:
                tell(item.delivery, news, using)
    stale = len(settlements) - len(written)
    if stale:
        logger.warning("%d outcomes came too late: their lease had run out and another worker took over.", stale)
    return Counter(news.state for news in settlements if news.id in written)


def tell(delivery: Delivery, news: Settlement, using: str) -> None:
    """Send the signal of an outcome, if it has one, after the commit."""
    delivery.state, delivery.reason, delivery.due_at = news.state, news.reason, news.due_at
    signal = SIGNAL_OF.get(DeliveryState(news.state))
    if signal is not None and signal.has_listeners(Delivery):
        fact = partial(signal.send_robust, sender=Delivery, partition=partitions.current(), delivery=delivery)
        transaction.on_commit(fact, using=using, robust=True)
