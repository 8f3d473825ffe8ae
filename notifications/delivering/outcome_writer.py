"""Writes outcomes to the database: the states and log rows of a group in one transaction.

The writer keeps the answers of a provider until they are written. While it keeps any, the worker claims nothing more:
if it went on sending without recording, the worker that takes over its rows would send all of them again.
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
from notifications.conf import get_address_kind
from notifications.core import clock
from notifications.core.databases import get_current_partition, read_as_routed, read_from_primary
from notifications.delivering import leftovers
from notifications.delivering.attempt_outcomes import Outcomes, Tally, build_attempt_row, build_release
from notifications.delivering.fallback import queue_fallbacks
from notifications.delivering.outcome_hooks import call_outcome_hooks
from notifications.delivering.providers.choice import AttemptResult
from notifications.delivering.slow_groups import RecordableGroup
from notifications.delivering.turns import make_next_channels_due
from notifications.delivering.workers.heartbeat import HeartbeatThread
from notifications.delivering.workers.outage_log import OUTAGE_LOG
from notifications.models import Delivery, NotificationLog, Suppression
from notifications.models.delivery import make_owner_name
from notifications.models.suppression import Pair
from notifications.outcomes import DeliveryState, Suppress, Verdict
from notifications.storage.engine import get_engine
from notifications.storage.outbox import StateChange

logger = logging.getLogger("notifications.dispatch")

RETRY_SECONDS = 0.5
"""The pause between two attempts to write outcomes when a worker ends."""
SIGNAL_BY_STATE = {
    DeliveryState.SENT: signals.delivery_sent,
    DeliveryState.DEAD: signals.delivery_failed,
    DeliveryState.DROPPED: signals.delivery_dropped,
}
CAUSES = {
    Suppress.NOW: Suppression.Cause.HARD_BOUNCE,
    Suppress.BLOCKED: Suppression.Cause.BLOCKED,
    Suppress.STOPPED: Suppression.Cause.STOPPED,
}
"""Refusals that suppress an address at once."""


class OutcomeWriter:
    """Writes and counts the outcomes of one thread, and keeps those that cannot be written yet.

    It also has the database alias and the clock of the thread, and checks the worker's heartbeat.
    """

    def __init__(self, heartbeat: HeartbeatThread | None = None) -> None:
        self.using = router.db_for_write(Delivery)
        self.heartbeat = heartbeat
        self.owner = heartbeat.owner if heartbeat else make_owner_name()
        if heartbeat:
            heartbeat.writers.add(self)
        # Outcomes are counted where they are written, so that a later error in the batch loses none.
        self._tally: Tally = Counter()
        self._counting = threading.Lock()
        self._clock = clock.CachedClock(self.using)
        self._generation = 0
        self._unwritten: list[Outcomes] = []
        # The error that the recorder's thread got when it wrote.
        self._failure: Error | None = None
        # The recorder's thread writes through this object too.
        self._writing = threading.RLock()

    def now(self) -> datetime:
        return self._clock.now()

    def get_answer_time(self) -> datetime:
        """Return the time for an answer of a provider. It works even if the database has gone away since."""
        return self._clock.estimated_now()

    def may_claim(self) -> bool:
        """Return whether the worker may claim deliveries. :meth:`can_continue` refers to the last such call."""
        self._generation = self.heartbeat.generation if self.heartbeat else 0
        return self.can_continue()

    @property
    def is_heartbeat_late(self) -> bool:
        """Whether only the heartbeat keeps the worker from claiming."""
        return not self._failure and self.heartbeat is not None and not self.heartbeat.is_healthy()

    def can_continue(self) -> bool:
        """Return whether the claims since :meth:`may_claim` are certainly valid and outcomes can be recorded."""
        if self._failure:
            return False
        return self.heartbeat is None or (self.heartbeat.is_healthy() and self.heartbeat.generation == self._generation)

    def count(self, tally: Tally) -> None:
        """Count outcomes. Deliveries that were only given back have no outcome yet and are not counted."""
        with self._counting:
            for state, number in tally.items():
                if state != DeliveryState.READY:
                    self._tally[state] += number

    def take_tally(self) -> Tally:
        """Return the outcomes that were counted since the last call."""
        with self._counting:
            taken, self._tally = self._tally, Counter()
        return taken

    def record(self, outcomes: Outcomes) -> None:
        """Write and count the answers of a provider.

        If that fails, they are kept for :meth:`catch_up`, and the error is raised.
        """
        with self._writing:
            self._unwritten.append(outcomes)
            if self._failure:
                # The recorder's thread has just waited for the database in vain; do not wait again.
                raise OperationalError("Earlier outcomes of this group cannot be written yet.") from self._failure
            try:
                self.count(self._write_valid(outcomes))
            except Error as error:
                self._failure = error
                raise
            self._unwritten.remove(outcomes)

    def watch(self, group: RecordableGroup) -> AbstractContextManager[None]:
        """Return a context in which the recorder records the group's answers early, if the group takes long."""
        return self.heartbeat.recorder.watch(group) if self.heartbeat else nullcontext()

    def keep(self, outcomes: Outcomes) -> None:
        """Keep outcomes that cannot be written now for :meth:`catch_up`."""
        with self._writing:
            self._unwritten.append(outcomes)

    def unwritten_ids(self) -> set[int]:
        """Return the ids of the deliveries whose outcomes are kept and not yet written."""
        return {change.id for outcomes in list(self._unwritten) for _, change in outcomes.pairs}

    @read_from_primary()
    def catch_up(self) -> None:
        """Write the outcomes that are kept.

        :raises django.db.Error: if they still cannot be written.
        """
        if not self._unwritten:
            return
        with self._writing:
            while self._unwritten:
                self._write_first()

    def _write_first(self, context: AbstractContextManager[None] = nullcontext()) -> None:  # noqa: B008 - it is reusable
        with context:
            tally = self._write_valid(self._exclude_written(self._unwritten[0]))
        self.count(tally)
        del self._unwritten[0]
        if not self._unwritten:
            self._failure = None

    @read_from_primary()
    def recover(self) -> None:
        """Write the outcomes that earlier workers on this machine have left in files."""
        for path in leftovers.find_files(self.using):
            with leftovers.open_outcomes(path, self.using) as found:
                for outcomes in found or ():
                    self._write_valid(self._exclude_written(outcomes))

    def give_back(self, rows: Sequence[Delivery], later: bool = False) -> None:
        """Make claimed deliveries that were not begun ready again, without a strike.

        :param later: let :meth:`catch_up` or :meth:`close` write this, because the database has just failed and could
            make every thread wait again.
        """
        if not rows:
            return
        changes = [build_release(row) for row in rows]
        outcomes = Outcomes([(None, change) for change in changes], self.get_answer_time())
        if later or self._unwritten:
            self.keep(outcomes)
            return
        try:
            Delivery.objects.using(self.using).settle(changes, self.now())
        except Error as error:
            OUTAGE_LOG.report_failure(logger, error, "Deliveries that were not begun cannot be given back yet.")
            self.keep(outcomes)

    def begin_trial(self, delivery: Delivery) -> bool:
        """Count a strike before anything that can kill this worker. Settling the delivery takes the strike back.

        Return whether this worker still owns the delivery.
        """
        return Delivery.objects.using(self.using).begin_trial(delivery)

    @read_from_primary()
    def close(self, seconds: float, must_stop: Callable[[], bool] = lambda: False) -> int:
        """Write the outcomes that are kept, or save them to a file for the next rescue of any worker on this machine.

        :param seconds: how long to retry while the database cannot be used.
        :param must_stop: ends the retries when it returns True.
        :return: the number of outcomes that are in the file.
        """
        until = time.monotonic() + seconds
        while self._unwritten:
            try:
                # One at a time, so that a failure does not roll back outcomes that were written before.
                with self._writing:
                    self._write_first(
                        get_engine(self.using).limit_lock_waits(max(RETRY_SECONDS, until - time.monotonic()))
                    )
            except Error as error:
                if time.monotonic() >= until or must_stop():
                    return self._save_to_file(error)
                _close_outside_transactions(self.using)
                time.sleep(RETRY_SECONDS)
        return 0

    def _save_to_file(self, error: Error) -> int:
        with self._writing:
            unwritten, self._unwritten = self._unwritten, []
        if all(change.was == DeliveryState.CLAIMED for outcomes in unwritten for _, change in outcomes.pairs):
            return 0  # Nothing was handed over; the leases will expire.
        tally = leftovers.save_or_report(unwritten, self.using, error)
        self.count(tally)
        return tally.total()

    @read_from_primary()
    def write(self, outcomes: Outcomes) -> Tally:
        """Write states and log rows in one transaction, and return the number of deliveries in each new state.

        Attempts at deliveries that this worker no longer owns are logged too, because they were made.
        """
        attempted, changes = outcomes.attempted, [change for _, change in outcomes.pairs]
        tally: Tally = Counter()
        with transaction.atomic(using=self.using):
            written = Delivery.objects.using(self.using).settle(changes, outcomes.at)
            _log_attempts(attempted, outcomes.at, self.using)
            for change in changes:
                if change.id in written:
                    tally[change.state] += 1
            owned = [(item.delivery, change) for item, change in attempted if change.id in written]
            if tally[DeliveryState.DEAD]:
                queue_fallbacks(owned, self.using, outcomes.at)
            make_next_channels_due(owned, self.using, outcomes.at)
            call_outcome_hooks(owned, self.using, outcomes.at)
            for delivery, change in owned:
                send_outcome_signal(delivery, change, self.using)
        _warn_of_losses(attempted, written)
        return tally

    def _write_valid(self, outcomes: Outcomes) -> Tally:
        """Write outcomes; if the database refuses the group, write each by itself and log those that are refused."""
        try:
            return self.write(outcomes)
        except (DataError, IntegrityError, ValueError):
            if len(outcomes.pairs) > 1:
                return sum((self._write_valid(one) for one in outcomes), Counter())
            [(_, change)] = outcomes.pairs
            message = (
                "The outcome of delivery %s cannot be stored; the delivery becomes unknown when the lease expires."
            )
            logger.exception(message, change.id, extra={"delivery_id": change.id})
            return Counter()

    def _exclude_written(self, outcomes: Outcomes) -> Outcomes:
        """Leave out outcomes that are already written: the connection can break between a commit and its answer."""
        ids = [item.delivery.pk for item, _ in outcomes.attempted]
        rows = NotificationLog.objects.using(self.using).filter(delivery_id__in=ids, sent_at=outcomes.at)
        written = set(rows.filter(kind=NotificationLog.Kind.ATTEMPT).values_list("delivery_id", flat=True))
        return Outcomes([pair for pair in outcomes.pairs if pair[1].id not in written], outcomes.at)


def _close_outside_transactions(using: str) -> None:
    if not connections[using].in_atomic_block:
        connections[using].close()


def _log_attempts(attempted: Sequence[tuple[AttemptResult, StateChange]], at: datetime, using: str) -> None:
    rows, final = [], []
    for item, change in attempted:
        rows.append(build_attempt_row(item, change, at))
        # While another provider is still to try an address, it is not suppressed.
        if item.receipt.suppress is not Suppress.NO and change.state != DeliveryState.RETRY:
            final.append(item)
    NotificationLog.objects.using(using).append(rows)
    if final:
        _suppress_addresses(final, at, using)


def _warn_of_losses(attempted: Sequence[tuple[AttemptResult, StateChange]], written: set[int]) -> None:
    stale = 0
    for item, change in attempted:
        if change.id not in written:
            stale += 1
        elif item.receipt.verdict is Verdict.UNKNOWN:
            warn_of_lost_contact(change.id, change.state)
    if stale:
        logger.warning("%d outcomes came too late: their lease had expired and another worker took over.", stale)


def _suppress_addresses(final: Sequence[AttemptResult], at: datetime, using: str) -> None:
    """Suppress the addresses that receipts have refused, or count their refusals."""
    suppressions = Suppression.objects.using(using)
    for suppress, cause in CAUSES.items():
        suppressions.suppress([_get_address(item) for item in final if item.receipt.suppress is suppress], cause, at)
    for item in final:
        if item.receipt.suppress is Suppress.REPEATED:
            suppressions.count_refusal(*_get_address(item), at)


def _get_address(item: AttemptResult) -> Pair:
    return get_address_kind(item.delivery.channel), item.delivery.address


def warn_of_lost_contact(delivery_id: int, state: str) -> None:
    """Log that a recipient may get a delivery twice, or never."""
    logger.warning(
        "Contact was lost while delivery %s was being sent, so it may have arrived. Its state is now %s.",
        delivery_id,
        state,
        extra={"delivery_id": delivery_id},
    )


def send_outcome_signal(delivery: Delivery, change: StateChange, using: str) -> None:
    """Send the signal of an outcome, if there is one for its state, after the commit."""
    delivery.state, delivery.reason, delivery.due_at = change.state, change.reason, change.due_at
    signal = SIGNAL_BY_STATE.get(DeliveryState(change.state))
    if signal is not None and signal.has_listeners(Delivery):
        send = partial(signal.send_robust, sender=Delivery, partition=get_current_partition(), delivery=delivery)
        transaction.on_commit(read_as_routed()(send), using=using, robust=True)
