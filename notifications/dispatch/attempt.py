"""One attempt at a group of deliveries: prepare, mark as sending, send, record."""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from django.db import DatabaseError, transaction

from notifications import conf
from notifications.breaker import failures_at_the_end
from notifications.channels import BaseChannel
from notifications.dispatch.desk import Desk, Outcomes
from notifications.dispatch.providers import Provider, Providers
from notifications.dispatch.record import Attempted, broken_off, buried, settlement
from notifications.events import NOTIFICATION_EVENTS
from notifications.gates import Person
from notifications.models import AttachedFile, Delivery
from notifications.models.attachment import Files
from notifications.outcomes import Reason, Receipt, Verdict
from notifications.rendering import locale_of, text_for

logger = logging.getLogger("notifications.dispatch")


@dataclass(frozen=True)
class Addressed:
    """A claimed delivery with the person it goes to."""

    delivery: Delivery
    person: Person


@dataclass(frozen=True)
class Prepared:
    delivery: Delivery
    message: Any


@dataclass
class HandedOver:
    """What became of a group: the tries, and what was never handed over because the group was broken off."""

    tried: list[Attempted] = field(default_factory=list)
    untried: list[Delivery] = field(default_factory=list)


def attempt(provider: Provider, group: Sequence[Addressed], desk: Desk, providers: Providers) -> Counter[str]:
    """Try a group of one provider's deliveries; returns how many came to which state."""
    channel = providers.open(provider)
    prepared, tally = _prepare(channel, group, desk)
    if not prepared:
        return tally
    # A transactional channel writes to this very database, so its outcome is one commit with what it writes.
    with transaction.atomic(using=desk.using) if channel.transactional else nullcontext():
        sent = _sent(channel, prepared, desk)
        record = desk.write if channel.transactional else desk.record
        tally += record(_outcomes(sent, provider, desk, providers))
    providers.observe(provider, sent.tried, desk.now())
    return tally


def _outcomes(sent: HandedOver, provider: Provider, desk: Desk, providers: Providers) -> Outcomes:
    now = desk.time_of_answer()
    forgiven = providers.is_forgiven(provider, now)
    carrier = "" if provider.name == provider.channel else provider.name
    tried = [replace(item, carrier=carrier) for item in sent.tried]
    pairs = [
        (item, settlement(item, now, providers.failed_over(provider, item.delivery, now), forgiven)) for item in tried
    ]
    return Outcomes([*pairs, *(broken_off(delivery, now) for delivery in sent.untried)], now)


def _prepare(channel: BaseChannel, group: Sequence[Addressed], desk: Desk) -> tuple[list[Prepared], Counter[str]]:
    prepared, failed = [], []
    files = _files(channel, group, desk)
    for addressed in group:
        try:
            message = _message(channel, addressed, files.get(addressed.delivery.notification_id, ()))
            prepared.append(Prepared(addressed.delivery, message))
        except DatabaseError:
            # A template or a transform read something while the database was away. That says nothing about it.
            raise
        except Exception as error:
            # Whatever a template, a transform or a channel does wrong here will go wrong again: a dead letter.
            logger.exception("Delivery %s cannot be rendered.", addressed.delivery.pk)
            failed.append(buried(addressed.delivery, Reason.RENDERING, f"{type(error).__name__}: {error}"))
    return prepared, desk.write(Outcomes(failed, desk.now())) if failed else Counter()


def _files(channel: BaseChannel, group: Sequence[Addressed], desk: Desk) -> dict[int, Files]:
    if not channel.takes_attachments:
        return {}
    return AttachedFile.objects.using(desk.using).carried_by(item.delivery.notification for item in group)


def _message(channel: BaseChannel, addressed: Addressed, files: Files) -> Any:
    delivery, notification = addressed.delivery, addressed.delivery.notification
    event = NOTIFICATION_EVENTS.find(notification.event)
    locale = locale_of(addressed.person.settings)
    parts = (channel.required_parts, channel.optional_parts)
    rendered = text_for(notification, event, delivery.channel, parts, addressed.person.user, locale)
    return channel.prepare(delivery, replace(rendered, attachments=files) if files else rendered)


def _sent(channel: BaseChannel, prepared: Sequence[Prepared], desk: Desk) -> HandedOver:
    patience = conf.current().lease_seconds + channel.patience * len(prepared)
    lease = desk.now() + timedelta(seconds=patience)
    # Committed before the call (unless the channel writes to this very database): should this process die now, the
    # row says that it may have been sent.
    ours = Delivery.objects.using(desk.using).mark_sending([item.delivery for item in prepared], lease)
    mine = [item for item in prepared if item.delivery.pk in ours]
    for item in mine:
        item.delivery.attempts += 1
    if not channel.transactional and not desk.may_go_on():
        return HandedOver(untried=[item.delivery for item in mine])
    return _hand_over(channel, mine, desk)


def _hand_over(channel: BaseChannel, prepared: Sequence[Prepared], desk: Desk) -> HandedOver:
    waiting = {id(item.message): item.delivery for item in prepared}
    done = HandedOver()
    error = "The channel gave no receipt."
    since = time.monotonic()
    try:
        for receipt in channel.send([item.message for item in prepared]):
            delivery, before, since = waiting.pop(id(receipt.message)), since, time.monotonic()
            done.tried.append(Attempted(delivery, receipt, since - before))
            if waiting and channel.one_by_one and (why := _why_to_break_off(done, desk)):
                logger.warning("%s %d deliveries of a group were not handed over.", why, len(waiting))
                done.untried = list(waiting.values())
                return done
    except Exception as raised:
        if channel.transactional:
            raise  # our own database: nothing was sent, and the transaction takes it all back
        logger.exception("Channel %s failed in the middle of a group.", type(channel).__name__)
        error = f"{type(raised).__name__}: {raised}"
        if channel.one_by_one:
            # It had the next one in its hands, and not those that come after it.
            done.untried = [waiting.popitem()[1] for _ in range(len(waiting) - 1)][::-1]
    lost = Receipt(None, Verdict.UNKNOWN, error=error)
    done.tried += [Attempted(delivery, lost, time.monotonic() - since) for delivery in waiting.values()]
    return done


def _why_to_break_off(done: HandedOver, desk: Desk) -> str:
    if not desk.may_go_on():
        # Others may be taking the rest by now, and will say what became of it.
        return "The heartbeat is not felt."
    if done.tried[-1].receipt.verdict is Verdict.CONFIGURATION:
        return "The provider's settings are wrong."
    if failures_at_the_end([item.receipt for item in done.tried]) >= conf.current().breaker_failures:
        return "The provider fails."
    return ""
