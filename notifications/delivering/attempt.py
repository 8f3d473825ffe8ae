"""One attempt at a group of deliveries: prepare, mark as sending, send, record."""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import Error, transaction

from notifications import conf
from notifications.channels import BaseChannel
from notifications.core.connections import is_unable
from notifications.delivering.handover import GroupHandover
from notifications.delivering.outcome_writer import OutcomeWriter
from notifications.delivering.providers.attempt_result import AttemptResult
from notifications.delivering.providers.breaker import count_trailing_failures, is_failure, opens_circuit
from notifications.delivering.providers.choice import SLOW_SECONDS, Provider, Providers
from notifications.delivering.record import Outcomes, dead_letter, normalize_receipt, retry_unsent
from notifications.delivering.rendering import locale_of, text_for
from notifications.delivering.workers.stop import Stop
from notifications.events import NOTIFICATION_EVENTS
from notifications.models import AttachedFile, Delivery
from notifications.models.attachment import Files
from notifications.outcomes import Reason, Receipt, Verdict
from notifications.sending.gates import Person

logger = logging.getLogger("notifications.dispatch")


@dataclass(frozen=True)
class AddressedDelivery:
    """A claimed delivery with the person it goes to."""

    delivery: Delivery
    person: Person


@dataclass(frozen=True)
class PreparedDelivery:
    delivery: Delivery
    message: Any


def attempt(
    provider: Provider, group: Sequence[AddressedDelivery], writer: OutcomeWriter, providers: Providers, stop: Stop
) -> None:
    """Try a group of one provider's deliveries; the writer counts how many came to which state."""
    channel = providers.channel_for(provider)
    prepared = _prepare(channel, group, writer)
    if not prepared:
        return
    handed = GroupHandover(provider, writer, providers)
    # A transactional channel writes to this very database, so its outcome is one commit with what it writes.
    with transaction.atomic(using=writer.using) if channel.transactional else writer.watching(handed):
        _send(channel, prepared, handed, writer, stop)
        tally = handed.finish()
    writer.counter.add(tally)
    handed.observe()


def _prepare(channel: BaseChannel, group: Sequence[AddressedDelivery], writer: OutcomeWriter) -> list[PreparedDelivery]:
    prepared, failed = [], []
    files = _files(channel, group, writer)
    for addressed in group:
        try:
            message = _message(channel, addressed, files.get(addressed.delivery.notification_id, ()))
            prepared.append(PreparedDelivery(addressed.delivery, message))
        except Exception as error:
            # A template or a transform read something while a database was away: that says nothing about the delivery.
            if isinstance(error, Error) and is_unable(error):
                raise
            # Whatever else a template, a transform or a channel does wrong will go wrong again: a dead letter.
            logger.exception("Delivery %s cannot be rendered.", addressed.delivery.pk)
            failed.append(dead_letter(addressed.delivery, Reason.RENDERING, f"{type(error).__name__}: {error}"))
    if failed:
        writer.counter.add(writer.write(Outcomes(failed, writer.now())))
    return prepared


def _files(channel: BaseChannel, group: Sequence[AddressedDelivery], writer: OutcomeWriter) -> dict[int, Files]:
    if not channel.takes_attachments:
        return {}
    return AttachedFile.objects.using(writer.using).carried_by(item.delivery.notification for item in group)


def _message(channel: BaseChannel, addressed: AddressedDelivery, files: Files) -> Any:
    delivery, notification = addressed.delivery, addressed.delivery.notification
    event = NOTIFICATION_EVENTS.find(notification.event)
    locale = locale_of(addressed.person.settings)
    parts = (channel.required_parts, channel.optional_parts)
    rendered = text_for(notification, event, delivery.channel, parts, addressed.person.user, locale)
    return channel.prepare(delivery, replace(rendered, attachments=files) if files else rendered)


def _send(
    channel: BaseChannel, prepared: Sequence[PreparedDelivery], handed: GroupHandover, writer: OutcomeWriter, stop: Stop
) -> None:
    patience = conf.current().lease_seconds + channel.patience * len(prepared)
    lease = writer.now() + timedelta(seconds=patience)
    # Committed before the call (unless the channel writes to this very database): should this process die now, the
    # row says that it may have been sent.
    ours = _mark_sending([item.delivery for item in prepared], lease, writer)
    mine = [item for item in prepared if item.delivery.pk in ours]
    for item in mine:
        item.delivery.attempts += 1
    if not channel.transactional and not writer.can_continue():
        handed.untried = [item.delivery for item in mine]
        return
    _hand_over(channel, mine, handed, writer, stop)


def _mark_sending(rows: Sequence[Delivery], lease: datetime, writer: OutcomeWriter) -> set[int]:
    try:
        return Delivery.objects.using(writer.using).mark_sending(rows, lease)
    except Error:
        # The connection can break between a commit and its answer; nothing was handed over.
        now = writer.get_answer_time()
        writer.keep(Outcomes([retry_unsent(row, now) for row in rows], now))
        raise


def _hand_over(
    channel: BaseChannel, prepared: Sequence[PreparedDelivery], handed: GroupHandover, writer: OutcomeWriter, stop: Stop
) -> None:
    waiting = {id(item.message): item.delivery for item in prepared}
    handed.begin([item.delivery for item in prepared])
    error = "The channel gave no receipt."
    since = time.monotonic()
    try:
        for receipt in _receipts(channel, [item.message for item in prepared]):
            delivery, before, since = waiting.pop(id(receipt.message)), since, time.monotonic()
            handed.add(AttemptResult(delivery, normalize_receipt(receipt), since - before))
            if waiting and channel.one_by_one and (why := _why_to_break_off(handed, writer, stop)):
                level = logging.INFO if stop() else logging.WARNING
                logger.log(level, "%s %d deliveries of a group were not handed over.", why, len(waiting))
                handed.untried = list(waiting.values())
                return
            if waiting and not channel.transactional and stop.at_once():
                error = "The worker was told to end at once."
                break
    except (Exception, SystemExit) as raised:
        if channel.transactional:
            raise  # our own database: nothing was sent, and the transaction takes it all back
        logger.exception("Channel %s failed in the middle of a group.", type(channel).__name__)
        error = f"{type(raised).__name__}: {raised}"
        if channel.one_by_one:
            # It had the next one in its hands, and not those that come after it.
            handed.untried = [waiting.popitem()[1] for _ in range(len(waiting) - 1)][::-1]
    lost = Receipt(None, Verdict.UNKNOWN, error=error)
    for delivery in waiting.values():
        handed.add(AttemptResult(delivery, lost, time.monotonic() - since))


def _receipts(channel: BaseChannel, messages: Sequence[Any]) -> Iterator[Receipt]:
    """
    :raises TypeError: if what the channel gives are no receipts.
    """
    given: Any = channel.send(messages)
    wrong = f"send() of the channel class {type(channel).__name__} must yield a Receipt for each message"
    if not isinstance(given, Iterable):
        raise TypeError(f"{wrong}; it returned {given!r:.80}.")
    for receipt in given:
        if not isinstance(receipt, Receipt):
            raise TypeError(f"{wrong}; it gave {receipt!r:.80}.")
        yield receipt


def _why_to_break_off(handed: GroupHandover, writer: OutcomeWriter, stop: Stop) -> str:
    """Why the rest of a group must not be handed over, in a sentence; empty if it may."""
    if stop():
        return "The worker stops."
    if not writer.can_continue():
        # Others may be taking the rest by now, and will say what became of it.
        return "The heartbeat is not felt."
    last = handed.tried[-1]
    if last.receipt.verdict is Verdict.ACCEPTED:
        return ""
    receipts = [item.receipt for item in handed.judged()]
    if opens_circuit(receipts[-1]):
        return "The provider cannot be used."
    if is_failure(receipts[-1]) and last.duration >= SLOW_SECONDS:
        return "The provider holds up its group."
    if count_trailing_failures(receipts) >= conf.current().breaker_failures:
        return "The provider fails."
    return ""
