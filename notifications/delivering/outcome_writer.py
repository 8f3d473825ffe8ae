"""Where outcomes are written down: states and log rows of a group in one transaction.

What a provider has answered is kept until it is written. While something is kept, nothing more is claimed: a worker
that cannot record must not go on sending, or whoever takes its rows over sends all of it again.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from functools import partial

from django.db import DataError, Error, IntegrityError, OperationalError, connections, router, transaction

from notifications import signals
from notifications.core import clock, partitions
from notifications.core.channel_classes import get_address_kind
from notifications.core.connections import limit_lock_waits
from notifications.core.primary import read_as_routed, read_from_primary
from notifications.delivering import leftovers
from notifications.delivering.fallback import queue_fallbacks
from notifications.delivering.providers.attempt_result import AttemptResult
from notifications.delivering.record import Outcomes, build_attempt_row
from notifications.delivering.recorder import Group
from notifications.delivering.tally import KEPT_IN_A_FILE, NOT_RECORDED, OutcomeCounter
from notifications.delivering.workers.heartbeat import HeartbeatThread
from notifications.delivering.workers.outage_log import OUTAGE_LOG
from notifications.models import Delivery, NotificationLog, Suppression
from notifications.models.suppression import Pair
from notifications.outcomes import DeliveryState, Suppress, Verdict
from notifications.storage.outbox import StateChange

logger = logging.getLogger("notifications.dispatch")

TRIES_EVERY = 0.5
"""Seconds between two tries to write outcomes at the end of a worker."""
SIGNAL_OF = {
    DeliveryState.SENT: signals.delivery_sent,
    DeliveryState.DEAD: signals.delivery_failed,
    DeliveryState.DROPPED: signals.delivery_dropped,
}


class OutcomeWriter:
    """One thread's: its database, its clock, whether others still know that it lives, and what is not yet written."""

    def __init__(self, pulse: HeartbeatThread | None = None) -> None:
        self.using = router.db_for_write(Delivery)
        self.pulse = pulse
        self.owner = pulse.owner if pulse else HeartbeatThread().owner
        if pulse:
            pulse.desks.add(self)
        self.counter = OutcomeCounter()
        self._clock = clock.CachedClock(self.using)
        self._life = 0
        self._unwritten: list[Outcomes] = []
        # Why the recorder's thread has failed to write.
        self._failure: Error | None = None
        # That thread writes here, too.
        self._writing = threading.RLock()

    def now(self) -> datetime:
        return self._clock.now()

    def get_answer_time(self) -> datetime:
        """Now, for what a provider has just answered: it must be kept even if the database went away meanwhile."""
        return self._clock.estimated_now()

    def begin(self) -> bool:
        """Whether something new may be claimed."""
        self._life = self.pulse.lives if self.pulse else 0
        return self.can_continue()

    def can_continue(self) -> bool:
        """Whether what was claimed since :meth:`begin` is certainly still ours, and its outcomes can be recorded."""
        if self._failure:
            return False
        return self.pulse is None or (self.pulse.is_healthy() and self.pulse.lives == self._life)

    def record(self, outcomes: Outcomes) -> None:
        """Write down and count what providers have answered.

        If that fails, it is kept for :meth:`catch_up`, and the error is raised.
        """
        with self._writing:
            self._unwritten.append(outcomes)
            if self._failure:
                # The recorder's thread has just waited in vain; nobody is to wait for the same once more.
                raise OperationalError("Earlier outcomes of this group cannot be written yet.") from self._failure
            try:
                self.counter.add(self._write_what_can_be(outcomes))
            except Error as error:
                self._failure = error
                raise
            self._unwritten.remove(outcomes)

    def watch(self, group: Group) -> AbstractContextManager[None]:
        """While a group is handed over, its answers are recorded as they are known, if it takes long."""
        return self.pulse.recorder.watch(group) if self.pulse else nullcontext()

    def keep(self, outcomes: Outcomes) -> None:
        """Keep for :meth:`catch_up` what cannot be written now."""
        with self._writing:
            self._unwritten.append(outcomes)

    def unwritten_ids(self) -> set[int]:
        """The deliveries whose outcomes are kept and not yet in the database."""
        return {news.id for outcomes in list(self._unwritten) for _, news in outcomes.pairs}

    @read_from_primary()
    def catch_up(self) -> None:
        """Write what could not be written before; raises while that is still so."""
        if not self._unwritten:
            return
        with self._writing:
            while self._unwritten:
                self._write_first()

    def _write_first(self, within: AbstractContextManager[None] = nullcontext()) -> None:  # noqa: B008 - it may be used again
        with within:
            tally = self._write_what_can_be(self._not_written(self._unwritten[0]))
        self.counter.add(tally)
        del self._unwritten[0]
        if not self._unwritten:
            self._failure = None

    @read_from_primary()
    def recover(self) -> None:
        """Write what earlier workers on this machine have left in files."""
        for path in leftovers.paths(self.using):
            with leftovers.opened(path, self.using) as found:
                for outcomes in found or ():
                    self._write_what_can_be(self._not_written(outcomes))

    def give_back(self, rows: Sequence[Delivery], later: bool = False) -> None:
        """Return claimed deliveries that were not begun, without a strike.

        :param later: with :meth:`catch_up` or :meth:`close`, because the database could not be used a moment ago and
            may let everybody wait again.
        """
        if not rows:
            return
        ready, was = DeliveryState.READY, DeliveryState.CLAIMED
        news = [StateChange(row.pk, row.fence, was, ready, row.reason, provider=row.provider) for row in rows]
        kept = Outcomes([(None, item) for item in news], self.get_answer_time())
        if later or self._unwritten:
            self.keep(kept)
            return
        try:
            Delivery.objects.using(self.using).settle(news, self.now())
        except Error as error:
            OUTAGE_LOG.report_failure(logger, error, "Deliveries that were not begun cannot be given back yet.")
            self.keep(kept)

    def begin_trial(self, delivery: Delivery) -> bool:
        """Count a strike in advance, before anything that may stop this worker; settling the delivery takes it back.

        Returns whether the delivery is still ours.
        """
        return Delivery.objects.using(self.using).begin_trial(delivery)

    @read_from_primary()
    def close(self, seconds: float, at_once: Callable[[], bool] = lambda: False) -> int:
        """Write what could not be written before, or put it into a file that the next start of a worker reads.

        :param seconds: how long to keep trying while the database cannot be used.
        :param at_once: ends the trying.
        :return: the number of outcomes that are in the file.
        """
        until = time.monotonic() + seconds
        while self._unwritten:
            try:
                # One at a time: what one transaction has written is not to be taken back with the next.
                with self._writing:
                    self._write_first(limit_lock_waits(self.using, max(TRIES_EVERY, until - time.monotonic())))
            except Error as error:
                if time.monotonic() >= until or at_once():
                    return self._save(error)
                _close_outside_transactions(self.using)
                time.sleep(TRIES_EVERY)
        return 0

    def _save(self, error: Error) -> int:
        with self._writing:
            unwritten, self._unwritten = self._unwritten, []
        if all(news.was == DeliveryState.CLAIMED for outcomes in unwritten for _, news in outcomes.pairs):
            return 0  # nothing was handed over; the leases will run out
        ids = [news.id for outcomes in unwritten for _, news in outcomes.attempted]
        named = ", ".join(map(str, ids))
        try:
            path = leftovers.save(unwritten, self.using)
        except OSError:
            logger.exception(
                "The outcomes of %d deliveries can be written neither to the database (%s) nor to STATE_DIR. What was "
                "accepted among them will be sent again. Deliveries: %s",
                len(ids),
                error,
                named,
            )
            self.counter.add(Counter({NOT_RECORDED: len(ids)}))
        else:
            self.counter.add(Counter({KEPT_IN_A_FILE: len(ids)}))
            logger.error(
                "The database cannot be used (%s). The outcomes of %d deliveries are kept in %s; the next start of a "
                "worker on this machine writes them. Deliveries: %s",
                error,
                len(ids),
                path,
                named,
            )
        return len(ids)

    @read_from_primary()
    def write(self, outcomes: Outcomes) -> Counter[str]:
        """States and log rows in one transaction. What is no longer ours is logged too: it was tried."""
        news = [news for _, news in outcomes.pairs]
        with transaction.atomic(using=self.using):
            written = Delivery.objects.using(self.using).settle(news, outcomes.at)
            _log(outcomes, self.using)
            ours = [(item.delivery, settled) for item, settled in outcomes.attempted if settled.id in written]
            queue_fallbacks(ours, self.using, outcomes.at)
            for delivery, settled in ours:
                send_outcome_signal(delivery, settled, self.using)
        for item, settled in outcomes.attempted:
            if settled.id in written and item.receipt.verdict is Verdict.UNKNOWN:
                warn_of_lost_contact(settled.id, settled.state)
        stale = sum(settled.id not in written for _, settled in outcomes.attempted)
        if stale:
            logger.warning("%d outcomes came too late: their lease had run out and another worker took over.", stale)
        return Counter(settled.state for settled in news if settled.id in written)

    def _write_what_can_be(self, outcomes: Outcomes) -> Counter[str]:
        try:
            return self.write(outcomes)
        except (DataError, IntegrityError, ValueError):
            if len(outcomes.pairs) > 1:
                return sum((self._write_what_can_be(one) for one in outcomes), Counter())
            [(_, news)] = outcomes.pairs
            what = "The outcome of delivery %s cannot be stored; the delivery becomes unknown when the lease runs out."
            logger.exception(what, news.id)
            return Counter()

    def _not_written(self, outcomes: Outcomes) -> Outcomes:
        """Without what is written already: the connection can break between a commit and its answer."""
        ids = [item.delivery.pk for item, _ in outcomes.attempted]
        rows = NotificationLog.objects.using(self.using).filter(delivery_id__in=ids, sent_at=outcomes.at)
        there = set(rows.filter(kind=NotificationLog.Kind.ATTEMPT).values_list("delivery_id", flat=True))
        return Outcomes([pair for pair in outcomes.pairs if pair[1].id not in there], outcomes.at)


def _close_outside_transactions(using: str) -> None:
    if not connections[using].in_atomic_block:
        connections[using].close()


def _log(outcomes: Outcomes, using: str) -> None:
    rows = [build_attempt_row(item, news.reason, outcomes.at) for item, news in outcomes.attempted]
    NotificationLog.objects.using(using).append(rows)
    if any(item.receipt.suppress is not Suppress.NO for item, _ in outcomes.attempted):
        _suppress(outcomes, using)


def _suppress(outcomes: Outcomes, using: str) -> None:
    """Suppress the addresses that are condemned, unless another provider is still to try them."""
    at, final = outcomes.at, [item for item, news in outcomes.attempted if news.state != DeliveryState.RETRY]
    suppressions = Suppression.objects.using(using)
    now = [item for item in final if item.receipt.suppress is Suppress.NOW]
    suppressions.suppress(map(_pair_of, now), Suppression.Why.HARD_BOUNCE, at)
    for item in final:
        if item.receipt.suppress is Suppress.REPEATED:
            suppressions.count_refusal(*_pair_of(item), at)


def _pair_of(item: AttemptResult) -> Pair:
    return get_address_kind(item.delivery.channel), item.delivery.address


def warn_of_lost_contact(delivery_id: int, state: str) -> None:
    """It can mean that the recipient gets it twice, or never."""
    logger.warning(
        "Contact was lost while delivery %s was being sent, so it may have arrived. Its state is now %s.",
        delivery_id,
        state,
    )


def send_outcome_signal(delivery: Delivery, news: StateChange, using: str) -> None:
    """Send the signal of an outcome, if it has one, after the commit."""
    delivery.state, delivery.reason, delivery.due_at = news.state, news.reason, news.due_at
    signal = SIGNAL_OF.get(DeliveryState(news.state))
    if signal is not None and signal.has_listeners(Delivery):
        fact = partial(signal.send_robust, sender=Delivery, partition=partitions.current(), delivery=delivery)
        transaction.on_commit(read_as_routed()(fact), using=using, robust=True)
