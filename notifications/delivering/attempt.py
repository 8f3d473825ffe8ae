"""One attempt to send a group of deliveries: prepare, mark as sending, send and record."""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import Error, transaction

from notifications import conf
from notifications.channels import BaseChannel
from notifications.core.databases import is_temporary_failure
from notifications.delivering.attempt_outcomes import Outcomes, dead_letter, normalize_receipt, retry_unsent
from notifications.delivering.handover import GroupHandover
from notifications.delivering.outcome_writer import OutcomeWriter
from notifications.delivering.providers.attempt_result import AttemptResult
from notifications.delivering.providers.breaker import count_trailing_failures, is_failure, opens_circuit
from notifications.delivering.providers.choice import SLOW_SECONDS, Provider, Providers
from notifications.delivering.rendering import get_locale, render_notification
from notifications.delivering.workers.stop import Stop
from notifications.events import NOTIFICATION_EVENTS
from notifications.models import AttachedFile, Delivery
from notifications.models.attachment import Files
from notifications.outcomes import Reason, Receipt, Verdict
from notifications.sending.gates import Person

logger = logging.getLogger("notifications.dispatch")


@dataclass(frozen=True)
class AddressedDelivery:
    """A claimed delivery and its recipient."""

    delivery: Delivery
    person: Person


@dataclass(frozen=True)
class PreparedDelivery:
    """A claimed delivery and the message that its channel has prepared."""

    delivery: Delivery
    message: Any


def attempt(
    provider: Provider, group: Sequence[AddressedDelivery], writer: OutcomeWriter, providers: Providers, stop: Stop
) -> None:
    """Try to send a group of deliveries with one provider. The writer counts the outcomes."""
    channel = providers.channel_for(provider)
    prepared = _prepare(channel, group, writer)
    if not prepared:
        return
    handover = GroupHandover(provider, writer, providers)
    # A transactional channel writes to this database, so its writes and the outcomes share one transaction.
    with transaction.atomic(using=writer.using) if channel.transactional else writer.watch(handover):
        _send(channel, prepared, handover, writer, stop)
        tally = handover.finish()
    writer.counter.add(tally)
    handover.observe()


def _prepare(channel: BaseChannel, group: Sequence[AddressedDelivery], writer: OutcomeWriter) -> list[PreparedDelivery]:
    """Return the deliveries with their messages. Deliveries that cannot be rendered or prepared become dead letters."""
    prepared, failed = [], []
    files = _load_files(channel, group, writer)
    for addressed in group:
        try:
            message = _build_message(channel, addressed, files.get(addressed.delivery.notification_id, ()))
            prepared.append(PreparedDelivery(addressed.delivery, message))
        except Exception as error:
            # A template or a transform queried a database during an outage. The delivery itself may be valid.
            if isinstance(error, Error) and is_temporary_failure(error):
                raise
            # Every other error of a template, a transform or a channel would occur again.
            logger.exception("Delivery %s cannot be rendered.", addressed.delivery.pk)
            failed.append(dead_letter(addressed.delivery, Reason.RENDERING, f"{type(error).__name__}: {error}"))
    if failed:
        writer.counter.add(writer.write(Outcomes(failed, writer.now())))
    return prepared


def _load_files(channel: BaseChannel, group: Sequence[AddressedDelivery], writer: OutcomeWriter) -> dict[int, Files]:
    """Return the attachments by notification, if the channel takes any."""
    if not channel.takes_attachments:
        return {}
    return AttachedFile.objects.using(writer.using).load_attachments(item.delivery.notification for item in group)


def _build_message(channel: BaseChannel, addressed: AddressedDelivery, files: Files) -> Any:
    delivery, notification = addressed.delivery, addressed.delivery.notification
    event = NOTIFICATION_EVENTS.find(notification.event)
    locale = get_locale(addressed.person.settings)
    parts = (channel.required_parts, channel.optional_parts)
    rendered = render_notification(notification, event, delivery.channel, parts, addressed.person.user, locale)
    return channel.prepare(delivery, replace(rendered, attachments=files) if files else rendered)


def _send(
    channel: BaseChannel,
    prepared: Sequence[PreparedDelivery],
    handover: GroupHandover,
    writer: OutcomeWriter,
    stop: Stop,
) -> None:
    """Mark the deliveries as *sending* and hand over those that this worker still owns."""
    timeout = conf.current().lease_seconds + channel.timeout * len(prepared)
    lease = writer.now() + timedelta(seconds=timeout)
    # Committed before the call (unless the channel is transactional): if this process dies now, the row says that the
    # message may have been sent.
    marked_ids = _mark_sending([item.delivery for item in prepared], lease, writer)
    marked = [item for item in prepared if item.delivery.pk in marked_ids]
    for item in marked:
        item.delivery.attempts += 1
    if not channel.transactional and not writer.can_continue():
        handover.unsent = [item.delivery for item in marked]
        return
    _hand_over(channel, marked, handover, writer, stop)


def _mark_sending(rows: Sequence[Delivery], lease: datetime, writer: OutcomeWriter) -> set[int]:
    try:
        return Delivery.objects.using(writer.using).mark_sending(rows, lease)
    except Error:
        # The connection can break between a commit and its answer. Nothing was handed over.
        now = writer.get_answer_time()
        writer.keep(Outcomes([retry_unsent(row, now) for row in rows], now))
        raise


def _hand_over(
    channel: BaseChannel,
    prepared: Sequence[PreparedDelivery],
    handover: GroupHandover,
    writer: OutcomeWriter,
    stop: Stop,
) -> None:
    """Hand the messages to the channel and add an answer for each, until the group ends or must be broken off."""
    waiting = {id(item.message): item.delivery for item in prepared}
    handover.begin([item.delivery for item in prepared])
    error = "The channel returned no receipt."
    answered_at = time.monotonic()
    try:
        for receipt in _iter_receipts(channel, [item.message for item in prepared]):
            delivery, previous, answered_at = waiting.pop(id(receipt.message)), answered_at, time.monotonic()
            handover.add(AttemptResult(delivery, normalize_receipt(receipt), answered_at - previous))
            if waiting and channel.one_by_one and (why := _find_reason_to_break_off(handover, writer, stop)):
                level = logging.INFO if stop() else logging.WARNING
                logger.log(level, "%s %d deliveries of a group were not handed over.", why, len(waiting))
                handover.unsent = list(waiting.values())
                return
            if waiting and not channel.transactional and stop.is_immediate():
                error = "The worker was stopped immediately."
                break
    except (Exception, SystemExit) as raised:
        if channel.transactional:
            raise  # It writes to this database, so nothing was sent and the transaction is rolled back.
        logger.exception("Channel %s failed in the middle of a group.", type(channel).__name__)
        error = f"{type(raised).__name__}: {raised}"
        if channel.one_by_one:
            # The channel had taken the next message, but not those after it.
            handover.unsent = [waiting.popitem()[1] for _ in range(len(waiting) - 1)][::-1]
    lost = Receipt(None, Verdict.UNKNOWN, error=error)
    for delivery in waiting.values():
        handover.add(AttemptResult(delivery, lost, time.monotonic() - answered_at))


def _iter_receipts(channel: BaseChannel, messages: Sequence[Any]) -> Iterator[Receipt]:
    """Send the messages and yield the channel's receipts.

    :raises TypeError: if the channel does not yield receipts.
    """
    result: Any = channel.send(messages)
    requirement = f"send() of the channel class {type(channel).__name__} must yield a Receipt for each message"
    if not isinstance(result, Iterable):
        raise TypeError(f"{requirement}; it returned {result!r:.80}.")
    for receipt in result:
        if not isinstance(receipt, Receipt):
            raise TypeError(f"{requirement}; it yielded {receipt!r:.80}.")
        yield receipt


def _find_reason_to_break_off(handover: GroupHandover, writer: OutcomeWriter, stop: Stop) -> str:
    """Return a sentence that says why the rest of a group must not be handed over, or ``""`` if it may."""
    if stop():
        return "The worker stops."
    if not writer.can_continue():
        # Another worker may have claimed the remaining deliveries; it records their outcomes.
        return "The heartbeat of this worker has failed."
    last = handover.answered[-1]
    if last.receipt.verdict is Verdict.ACCEPTED:
        return ""
    receipts = [item.receipt for item in handover.judge()]
    if opens_circuit(receipts[-1]):
        return "The provider cannot be used."
    if is_failure(receipts[-1]) and last.duration >= SLOW_SECONDS:
        return "The provider answers too slowly."
    if count_trailing_failures(receipts) >= conf.current().breaker_failures:
        return "The provider fails."
    return ""
