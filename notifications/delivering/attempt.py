"""One attempt to send a group of deliveries.

The steps: render and prepare the messages, mark the deliveries *sending* and commit, hand the messages over, record the
receipts, and update the provider's circuit.

The worker's thread records the receipts at the end of the group, in one transaction. If the group takes long, the
:class:`~notifications.delivering.slow_groups.SlowGroupRecorder` records the final ones earlier, so that they are not
lost if the provider stops answering.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import groupby, starmap
from operator import attrgetter, itemgetter
from typing import Any

from django.db import Error, transaction

from notifications import conf
from notifications.channels import BaseChannel
from notifications.core.databases import is_temporary_failure
from notifications.core.refusals import Streak, count_final_receipts
from notifications.core.tracing import describe_call, trace_call
from notifications.delivering.attempt_outcomes import (
    OutcomePair,
    Outcomes,
    Tally,
    build_dead_letter,
    build_hold,
    build_postponed,
    build_retry,
    decide_next_state,
    normalize_receipt,
)
from notifications.delivering.groups import ClaimedDelivery, Group
from notifications.delivering.outcome_writer import OutcomeWriter
from notifications.delivering.providers.breaker import count_trailing_failures, is_failure, opens_circuit
from notifications.delivering.providers.choice import SLOW_SECONDS, AttemptResult, Provider, Providers
from notifications.delivering.rendering import (
    ReplacementText,
    describe_error,
    get_locale,
    render_delivery,
    render_replacements,
    use_locale,
)
from notifications.delivering.rendering.sensitive import WITHHELD
from notifications.delivering.rendering.templates import Locale
from notifications.delivering.session import Session
from notifications.events import NOTIFICATION_EVENTS
from notifications.exceptions import RenderingUnavailable
from notifications.mail.finishing import finish_messages
from notifications.models import AttachedFile, Delivery
from notifications.models.attachment import Files
from notifications.outcomes import Reason, Receipt, Verdict
from notifications.storage.outbox import StateChange

logger = logging.getLogger("notifications.dispatch")

PreparedDelivery = tuple[Delivery, Any]
"""A claimed delivery and the message that its channel has prepared."""


def attempt(group: Group, session: Session) -> None:
    """Try to send a group of deliveries with its provider.

    From the moment a receipt is added to the handover, its outcome is not lost: ``finish()`` writes it. If the database
    cannot be used, the writer keeps it, and ``catch_up()`` or ``close()`` of the writer, or the next worker, writes it.
    """
    channel = session.providers.channel_for(group.provider)
    prepared = _prepare(channel, group.items, session)
    if not prepared:
        return
    finish_messages(channel, prepared, session.using)
    handover = GroupHandover(group.provider, session.writer, session.providers)
    if channel.transactional:
        # It writes to this database, so its writes and the outcomes share one transaction.
        with transaction.atomic(using=session.using):
            _hand_over(channel, _mark_sending(channel, prepared, session), handover, session)
            tally = handover.finish()
        session.writer.count(tally)
    else:
        _attempt_with_provider(channel, prepared, handover, session)
    handover.observe()


def _attempt_with_provider(
    channel: BaseChannel, prepared: Sequence[PreparedDelivery], handover: "GroupHandover", session: Session
) -> None:
    with session.writer.watch(handover):
        marked = _mark_sending(channel, prepared, session)
        try:
            if session.writer.can_continue():
                session.pending.begin_sending()
                try:
                    _hand_over(channel, marked, handover, session)
                finally:
                    session.pending.end_sending()
            else:
                handover.unsent = [delivery for delivery, _ in marked]
        finally:
            handover.finish()


def _prepare(channel: BaseChannel, items: Sequence[ClaimedDelivery], session: Session) -> list[PreparedDelivery]:
    """Return the deliveries with their messages.

    Deliveries that cannot be rendered at present are held. Others that cannot be rendered or prepared become dead
    letters.
    """
    prepared: list[PreparedDelivery] = []
    waiting: list[tuple[Delivery, RenderingUnavailable]] = []
    failed: list[tuple[Delivery, Exception]] = []
    files: Mapping[int, Files] = {}
    if channel.takes_attachments and any(map(attrgetter("delivery.notification.attachment_bytes"), items)):
        notifications = [item.delivery.notification for item in items]
        files = AttachedFile.objects.using(session.using).load_attachments(notifications)
    replacements = _render_replacements(channel, items, session)
    # Most recipients have the same language and time zone, so that these are activated once for many messages.
    for locale, neighbours in groupby(items, key=_get_locale):
        with use_locale(locale):
            for item in neighbours:
                try:
                    attachments = files.get(item.delivery.notification_id, ())
                    message = _build_message(channel, item, locale, attachments, replacements.get(item.delivery.pk))
                    prepared.append((item.delivery, message))
                except RenderingUnavailable as error:
                    waiting.append((item.delivery, error))
                except Exception as error:
                    # A template or a transform queried a database during an outage. The delivery itself may be valid.
                    if isinstance(error, Error) and is_temporary_failure(error):
                        raise
                    failed.append((item.delivery, error))
    dead = list(starmap(_describe_failure, failed))
    if waiting or dead:
        now = session.writer.now()
        outcomes = Outcomes([*dead, *_hold(waiting, now)], now)
        session.writer.count(session.writer.write(outcomes))
    return prepared


def _get_locale(item: ClaimedDelivery) -> Locale:
    return get_locale(item.person.settings)


def _describe_failure(delivery: Delivery, error: Exception) -> OutcomePair:
    """Return a dead letter: every error of a template, a transform or a channel would occur again."""
    is_sensitive = delivery.notification.is_sensitive
    trace = None if is_sensitive else error
    logger.error("Delivery %s cannot be rendered.", delivery.pk, exc_info=trace, extra=delivery.log_ids)
    return build_dead_letter(delivery, Reason.RENDERING, describe_error(error, is_sensitive))


def _hold(waiting: Sequence[tuple[Delivery, RenderingUnavailable]], now: datetime) -> Iterator[OutcomePair]:
    for text, count in Counter(str(error) for _, error in waiting).items():
        logger.warning("%d deliveries cannot be rendered at present. They wait: %s", count, text)
    for delivery, error in waiting:
        yield None, build_hold(delivery, Reason.RENDERING, now + timedelta(seconds=error.retry_after))


def _render_replacements(
    channel: BaseChannel, items: Sequence[ClaimedDelivery], session: Session
) -> Mapping[int, ReplacementText | Exception]:
    try:
        return render_replacements(channel, items, session.using)
    except RenderingUnavailable as error:
        return dict.fromkeys((item.delivery.pk for item in items), error)


def _build_message(
    channel: BaseChannel,
    item: ClaimedDelivery,
    locale: Locale,
    files: Files,
    replacement: ReplacementText | Exception | None,
) -> Any:
    if isinstance(replacement, Exception):
        raise replacement
    rendered = render_delivery(item.delivery, item.event, item.person, channel, locale, replacement)
    return channel.prepare(item.delivery, replace(rendered, attachments=files) if files else rendered)


def _mark_sending(
    channel: BaseChannel, prepared: Sequence[PreparedDelivery], session: Session
) -> list[PreparedDelivery]:
    """Mark the deliveries as *sending*, and return those that this worker still owns."""
    writer = session.writer
    timeout = conf.current().lease_seconds + channel.timeout * len(prepared)
    lease = writer.now() + timedelta(seconds=timeout)
    rows = [delivery for delivery, _ in prepared]
    try:
        # Committed before the call (unless the channel is transactional): if this process dies now, the row says that
        # the message may have been sent.
        marked_ids = Delivery.objects.using(session.using).mark_sending(rows, lease)
    except Error:
        # The connection can break between a commit and its answer. Nothing was handed over.
        now = writer.get_answer_time()
        writer.keep(Outcomes([build_retry(row, now) for row in rows], now))
        raise
    marked = []
    for delivery, message in prepared:
        if delivery.pk in marked_ids:
            delivery.attempts += 1
            marked.append((delivery, message))
    return marked


def _hand_over(
    channel: BaseChannel, prepared: Sequence[PreparedDelivery], handover: "GroupHandover", session: Session
) -> None:
    """Hand the messages to the channel and add a result for each, until the group ends or must be broken off."""
    provider = handover.provider
    with trace_call(provider.channel, provider.name, map(itemgetter(0), prepared)) as span:
        _collect_results(channel, prepared, handover, session)
        describe_call(span, handover.results)


def _collect_results(
    channel: BaseChannel, prepared: Sequence[PreparedDelivery], handover: "GroupHandover", session: Session
) -> None:
    messages = list(map(itemgetter(1), prepared))
    waiting = dict(zip(map(id, messages), map(itemgetter(0), prepared), strict=True))
    handover.begin(waiting.values())
    error = "The channel returned no receipt."
    answered_at = time.monotonic()
    try:
        for receipt in _iter_receipts(channel, messages):
            previous, answered_at = answered_at, time.monotonic()
            delivery = waiting[id(receipt.message)]
            receipt = withhold_secret(normalize_receipt(receipt), delivery)
            handover.add(delivery, receipt, answered_at - previous)
            del waiting[id(receipt.message)]
            if waiting and channel.one_by_one and (why := _find_reason_to_break_off(handover, session)):
                level = logging.INFO if session.stop() else logging.WARNING
                logger.log(level, "%s %d deliveries of a group were not handed over.", why, len(waiting))
                handover.unsent = list(waiting.values())
                return
            if waiting and not channel.transactional and session.stop.is_immediate():
                error = "The worker was stopped immediately."
                break
    except (Exception, SystemExit) as raised:
        if channel.transactional:
            raise  # It writes to this database, so nothing was sent and the transaction is rolled back.
        has_secrets = any(carries_secret(channel, row) for row in waiting.values())
        logger.exception(
            "Channel %s failed in the middle of a group.", type(channel).__name__, exc_info=not has_secrets
        )
        error = describe_error(raised, has_secrets)
        if channel.one_by_one:
            # The channel had taken the next message, but not those after it.
            handover.unsent = [waiting.popitem()[1] for _ in range(len(waiting) - 1)][::-1]
    lost = Receipt(None, Verdict.UNKNOWN, error=error)
    for delivery in waiting.values():
        handover.add(delivery, lost, time.monotonic() - answered_at)


def carries_secret(channel: BaseChannel, delivery: Delivery) -> bool:
    """Return whether the message of a delivery contains something secret, which an error could quote."""
    return (channel.keeps_content_secret and delivery.notification.is_sensitive) or has_open_link(delivery)


def has_open_link(delivery: Delivery) -> bool:
    """Return whether the message of a delivery contains a link that opens to anybody who has it."""
    event = NOTIFICATION_EVENTS.named(delivery.notification.event)
    return event is not None and bool(event.link)


def withhold_secret(receipt: Receipt, delivery: Delivery) -> Receipt:
    """Return a receipt without its error text if that could quote a message with a link that opens to anybody."""
    if not receipt.error or not has_open_link(delivery):
        return receipt
    return replace(receipt, error=f"{receipt.code or receipt.verdict.name}. {WITHHELD}")


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


def _find_reason_to_break_off(handover: "GroupHandover", session: Session) -> str:
    """Return a sentence that says why the rest of a group must not be handed over, or ``""`` if it may."""
    if session.stop():
        return "The worker stops."
    if not session.writer.can_continue():
        # Another worker may have claimed the remaining deliveries; it records their outcomes.
        return "The heartbeat of this worker has failed."
    last = handover.results[-1]
    if last.receipt.verdict is Verdict.ACCEPTED:
        return ""
    receipts = [item.receipt for item in handover.judge()[0]]
    if opens_circuit(receipts[-1]):
        return "The provider cannot be used."
    if is_failure(receipts[-1]) and last.duration >= SLOW_SECONDS:
        return "The provider answers too slowly."
    if count_trailing_failures(receipts) >= conf.current().breaker_failures:
        return "The provider fails."
    return ""


class GroupHandover:
    """A group that is being handed to a provider. Keeps the result of each attempt and judges all results together.

    The worker's thread adds the results; it and the recorder's thread record them. ``unsent`` contains the deliveries
    that were certainly not handed over, because the group was broken off.
    """

    def __init__(self, provider: Provider, writer: OutcomeWriter, providers: Providers) -> None:
        self.provider = provider
        self.writer = writer
        self.providers = providers
        self.results: list[AttemptResult] = []
        self.unsent: list[Delivery] = []
        self._is_accepted = True
        self._handed_over: set[int] = set()
        self._answered_at = 0.0
        self._recorded_count = 0
        self._unrecorded_since = 0.0
        # _lock protects the list of results. _recording is held while they are recorded, which may take long.
        self._lock = threading.Lock()
        self._recording = threading.Lock()

    def begin(self, deliveries: Iterable[Delivery]) -> None:
        """Note that the provider has these deliveries from now on."""
        self._handed_over, self._answered_at = set(map(attrgetter("pk"), deliveries)), time.monotonic()

    def get_unanswered_ids(self, seconds: float) -> set[int]:
        """Return the ids of the deliveries that the provider has, if it has not answered for ``seconds`` seconds."""
        with self._lock:
            waiting = self._handed_over - {item.delivery.pk for item in self.results} - {row.pk for row in self.unsent}
            return waiting if time.monotonic() - self._answered_at > seconds else set()

    def add(self, delivery: Delivery, receipt: Receipt, duration: float) -> None:
        """Add the receipt of an attempt, which took ``duration`` seconds."""
        # The only provider of a channel has the name of the channel. Then the receipt names it.
        name = "" if self.provider.name == self.provider.channel else self.provider.name
        with self._lock:
            self._answered_at = time.monotonic()
            if self._recorded_count == len(self.results):
                self._unrecorded_since = self._answered_at
            self.results.append(AttemptResult(delivery, receipt, duration, name))
            self._is_accepted = self._is_accepted and receipt.verdict is Verdict.ACCEPTED

    @property
    def _is_ordinary(self) -> bool:
        """Whether the provider has accepted everything, and no failure or refusal of it is recorded."""
        return self._is_accepted and self.provider.key not in self.providers.breaker.circuits

    def judge(self) -> tuple[list[AttemptResult], Streak]:
        """Return all results so far, each judged together with the others, and the equal refusals after them."""
        if self._is_ordinary:
            return self.results, Streak()
        return self.providers.judge(self.provider, self.results)

    def record_final(self, min_age: float) -> bool:
        """Record the results that no later receipt can change, if the oldest of them waits for ``min_age`` seconds.

        Return whether there were any.
        """
        with self._recording:
            with self._lock:
                count = count_final_receipts([item.receipt for item in self.results])
                if count <= self._recorded_count or time.monotonic() - self._unrecorded_since < min_age:
                    return False
                outcomes = self._build_outcomes(self.judge()[0][self._recorded_count : count])
                self._recorded_count = count
            self.writer.record(outcomes)
            return True

    def finish(self) -> Tally:
        """Record the remaining results. If that fails, the writer keeps them and the error is raised.

        If the channel is transactional, return the outcomes to count after the commit.
        """
        with self._recording:
            outcomes = self._build_outcomes(self.judge()[0][self._recorded_count :], self.unsent)
            self._recorded_count = len(self.results)
            if outcomes.pairs and self.provider.channel_class.transactional:
                return self.writer.write(outcomes)
            if outcomes.pairs:
                self.writer.record(outcomes)
            return Counter()

    def observe(self) -> None:
        """Update what all workers know about the provider."""
        if self.provider.shares_rank or not self._is_ordinary:
            judged, streak = self.judge()
            self.providers.observe(self.provider, judged, self.writer.now(), streak)

    def _build_outcomes(self, results: Sequence[AttemptResult], unsent: Sequence[Delivery] = ()) -> Outcomes:
        now = self.writer.get_answer_time()
        pairs: list[OutcomePair] = []
        for item in results:
            if item.receipt.untried:
                pairs.append(build_postponed(item.delivery, item.receipt, now))
                continue
            try:
                pairs.append((item, self._decide(item, now)))
            except Exception:
                if self.provider.channel_class.transactional:
                    raise  # What the channel has written is rolled back.
                # The event of the host may be invalid. The other outcomes of the group must be recorded anyway.
                logger.exception(
                    "The next state of delivery %s cannot be decided. It counts as lost contact when its lease ends.",
                    item.delivery.pk,
                    extra=item.delivery.log_ids,
                )
        for delivery in unsent:
            pairs.append(build_retry(delivery, now))
        return Outcomes(pairs, now)

    def _decide(self, item: AttemptResult, now: datetime) -> StateChange:
        if item.receipt.verdict is Verdict.ACCEPTED:
            return decide_next_state(item, now)
        tried = self.providers.get_tried_providers(self.provider, item.delivery, now)
        return decide_next_state(item, now, tried, self.providers.is_uncounted(self.provider, item, now))
