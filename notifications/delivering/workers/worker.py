"""The worker: threads that deliver, and one that waits for commits, rescues deliveries and runs periodic tasks."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import Error, connections, router

from notifications import conf
from notifications.conf import is_off
from notifications.core import clock
from notifications.core.connections import (
    allow_interrupts,
    interrupt_statements,
    limit_threads_to_pool,
    return_connections_to_pools,
    use_own_connections,
)
from notifications.core.databases import is_outage
from notifications.delivering.attempt_outcomes import Tally
from notifications.delivering.dispatcher import Dispatcher
from notifications.delivering.pending_groups import PendingGroups
from notifications.delivering.session import Stop
from notifications.delivering.workers.heartbeat import HeartbeatThread
from notifications.delivering.workers.longest_send import get_longest_send_seconds
from notifications.delivering.workers.outage_log import OUTAGE_LOG
from notifications.delivering.workers.periodic_tasks import Scheduler
from notifications.delivering.workers.pulse import Pulse
from notifications.delivering.workers.relief import Relief
from notifications.delivering.workers.rescue import Rescuer
from notifications.delivering.workers.wake_up import STOP_CHECK_INTERVAL, Waker
from notifications.models import Delivery

logger = logging.getLogger("notifications.worker")

MAX_CONNECTION_IDLE = 1.0
"""Seconds. A provider may close a connection that is idle for longer."""
PERIODIC_TASK_TIMEOUT = 5.0
"""Seconds for one run. It is short because the same thread rescues deliveries."""


class Worker:
    """Runs until stopped, or until nothing is ready.

    :param workers: the number of threads. Threads wait for providers, so more threads than cores make sense.
    :param on_progress: called with each tally, in the thread that made it.
    """

    forks = False

    def __init__(
        self,
        *,
        workers: int | None = None,
        batch_size: int | None = None,
        idle: float | None = None,
        error_pause: float | None = None,
        on_progress: Callable[[Tally], None] = lambda tally: None,
    ) -> None:
        configured = conf.current()
        self.threads = limit_threads_to_pool(workers or configured.workers)
        self.batch_size = batch_size or configured.batch_size
        self.idle = configured.idle_seconds if idle is None else idle
        self.error_pause = configured.error_pause_seconds if error_pause is None else error_pause
        self.on_progress = on_progress
        self.on_round: Callable[[], None] = lambda: None
        """Not called: only several worker processes need it."""
        self.using = router.db_for_write(Delivery)
        self.rescuer = Rescuer(self.using)
        self.errors = 0
        self.tally: Tally = Counter()
        self.outcomes_in_files = 0
        """The number of outcomes that could not be written to the database before the end."""
        self._is_stop_requested = False
        self._is_stop_immediate = False
        self.stop_state = Stop(self._ask_stopping, self.is_stopping_immediately)
        self.scheduler = Scheduler(self.using, self.is_stopping)
        self._wake_events = [threading.Event() for _ in range(self.threads)]
        self._lock = threading.Lock()
        self.pulse = Pulse()
        self.relief = Relief(self)

    def stop(self) -> None:
        """Stop at the next message, or group of messages, and give back the claims that are not begun.

        May be called from any thread and from a signal handler, so it takes no lock: the handler may have interrupted
        the code that holds it.
        """
        self._is_stop_requested = True

    def stop_now(self) -> None:
        """Stop after the next receipt of each provider, on any channel, and do not retry database errors for long."""
        self._is_stop_requested = self._is_stop_immediate = True

    def is_stopping(self) -> bool:
        return self._is_stop_requested

    def _ask_stopping(self) -> bool:
        """Delivering threads call it between two messages or groups, so it is a round of their loop."""
        self.pulse.beat()
        return self._is_stop_requested

    def is_stopping_immediately(self) -> bool:
        return self._is_stop_immediate

    def drain(self) -> Tally:
        """Deliver until nothing is ready, and rescue the deliveries of lost workers. The calling thread delivers too.

        If the system is switched off, do nothing.
        """
        if is_off():
            return self.tally
        self.rescuer.rescue(clock.now(self.using))
        self.scheduler.run_due()
        self.errors += self.scheduler.errors
        self._drain_in_threads()
        if self.rescuer.has_suspects:
            self._sleep(self.rescuer.confirmation_seconds)
            self.rescuer.rescue(clock.now(self.using))
            self._drain_in_threads()
        return self.tally

    def watch(self) -> Tally:
        """Deliver until stopped; commits wake the worker. If the system is switched off, only wait for the stop."""
        if is_off():
            # The setting changes only at the next start. A worker that ended would be restarted again and again.
            self._sleep(float("inf"))
            return self.tally
        self.scheduler.timeout = PERIODIC_TASK_TIMEOUT
        heartbeat = HeartbeatThread(self.pulse)
        if not self._register(heartbeat):
            return self.tally
        with heartbeat, self._interrupt_after_stop(), self.relief.run(heartbeat):
            self.rescuer.heartbeat = heartbeat
            threads = [
                threading.Thread(target=self._drain_until_stopped, args=(event, heartbeat))
                for event in self._wake_events
            ]
            for thread in threads:
                thread.start()
            try:
                with use_own_connections():
                    allow_interrupts(self.using)
                    self._supervise()
            finally:
                self.stop()
                self.wake_all()
                for thread in threads:
                    thread.join()
        # This thread has rescued deliveries on its own connection.
        connections.close_all()
        return self.tally

    def _register(self, heartbeat: HeartbeatThread) -> bool:
        """Write the first heartbeat, after an outage if there is one. Return False if the worker was stopped before."""
        while not self.is_stopping():
            try:
                heartbeat.register()
            except Error as error:
                if not is_outage(error):
                    raise
                self._back_off(error, "The first heartbeat failed. The worker tries again in %s seconds.")
            else:
                return True
        return False

    def _drain_in_threads(self) -> None:
        if connections[self.using].in_atomic_block:
            # In a transaction of the caller, as in a host's tests, another connection would wait without end.
            self._drain_once(Dispatcher(self.batch_size, self.stop_state))
            return
        with HeartbeatThread() as heartbeat, self._interrupt_after_stop():
            self._drain_side_by_side(heartbeat)
            while self.relief.has_worked and not self.is_stopping():
                # A relief thread may have given back deliveries after the others had found nothing more.
                self._drain_side_by_side(heartbeat)

    def _drain_side_by_side(self, heartbeat: HeartbeatThread) -> None:
        threads = [threading.Thread(target=self._drain_in_thread, args=(heartbeat,)) for _ in range(self.threads - 1)]
        with self.relief.run(heartbeat):
            for thread in threads:
                thread.start()
            try:
                self._drain_once(self.make_dispatcher(heartbeat))
            finally:
                for thread in threads:
                    thread.join()

    def make_dispatcher(self, heartbeat: HeartbeatThread, pending: PendingGroups | None = None) -> Dispatcher:
        pending = pending or PendingGroups(self.relief.busy)
        return Dispatcher(self.batch_size, self.stop_state, heartbeat, pending)

    def _drain(self, dispatcher: Dispatcher) -> None:
        try:
            while not self.is_stopping():
                claimed, tally = dispatcher.run_batch()
                self.add_to_tally(tally)
                if claimed:
                    continue
                rest = dispatcher.get_rest_seconds()
                if rest is None:
                    return
                if rest >= MAX_CONNECTION_IDLE:
                    dispatcher.release_connections()
                return_connections_to_pools()
                self._sleep(rest)
        finally:
            dispatcher.release_connections()

    def _drain_once(self, dispatcher: Dispatcher) -> None:
        allow_interrupts(self.using)
        try:
            self._drain(dispatcher)
        finally:
            self.close_dispatcher(dispatcher)

    def close_dispatcher(self, dispatcher: Dispatcher) -> None:
        left = dispatcher.close(conf.current().stop_seconds)
        # This includes outcomes that were written after an error, and outcomes in a file.
        self.add_to_tally(dispatcher.session.writer.take_tally())
        with self._lock:
            self.outcomes_in_files += left

    def add_to_tally(self, tally: Tally) -> None:
        with self._lock:
            self.tally += tally
        self.on_progress(tally)

    def _drain_in_thread(self, heartbeat: HeartbeatThread) -> None:
        try:
            self._drain_once(self.make_dispatcher(heartbeat))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - it is logged
            self.errors += 1
            OUTAGE_LOG.report_failure(logger, error, "A worker thread failed.")
        finally:
            connections.close_all()

    @contextmanager
    def _interrupt_after_stop(self) -> Iterator[None]:
        """Interrupt running statements ``STOP_SECONDS`` after a stop, or at once if the stop is immediate.

        Only on PostgreSQL, where a statement may wait for a lock without limit. Outcomes are then written to a file.
        """
        ended = threading.Event()
        thread = threading.Thread(target=self._interrupt_blocked_statements, args=(ended,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _interrupt_blocked_statements(self, ended: threading.Event) -> None:
        while not self.is_stopping():
            if ended.wait(STOP_CHECK_INTERVAL):
                return
        until = time.monotonic() + conf.current().stop_seconds
        while not ended.wait(STOP_CHECK_INTERVAL):
            if time.monotonic() >= until or self.is_stopping_immediately():
                interrupt_statements()

    def _drain_until_stopped(self, wake: threading.Event, heartbeat: HeartbeatThread) -> None:
        allow_interrupts(self.using)
        dispatcher = self.make_dispatcher(heartbeat)
        self.pulse.start("delivery", self.idle + get_longest_send_seconds())
        while not self.is_stopping():
            self.pulse.beat()
            try:
                self._drain(dispatcher)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - it is logged
                # Neither a database outage nor a bug in a host's code may end the worker.
                self._back_off(error, "A worker thread failed. It continues in %s seconds.")
            else:
                OUTAGE_LOG.report_success()
                return_connections_to_pools()
                wake.wait(self.idle)
                wake.clear()
        self.pulse.end()
        self.close_dispatcher(dispatcher)
        connections.close_all()

    def _supervise(self) -> None:
        waker = Waker()
        self.pulse.start("supervision", self.idle)
        while not self.is_stopping():
            self.pulse.beat()
            try:
                waker.wait(self.idle, self.is_stopping)
                self.rescuer.rescue_if_due(clock.now(self.using))
                self.scheduler.run_due()
                OUTAGE_LOG.report_success()
            except Exception as error:  # noqa: BLE001 - it is logged
                self._back_off(error, "Waiting for commits failed. The worker tries again in %s seconds.")
                waker.close()
                waker = Waker()
            self.wake_all()
        self.pulse.end()
        waker.close()

    def find_stuck_loops(self) -> list[str]:
        """Return the names of the loops that have not gone round for so long that only a restart helps.

        Threads that wait for a provider count only after the longest time that a channel may take for a call.
        """
        return self.pulse.find_stuck()

    def wake_all(self) -> None:
        for event in self._wake_events:
            event.set()
        self.relief.wake()

    def _back_off(self, error: BaseException, message: str) -> None:
        self.errors += 1
        OUTAGE_LOG.report_failure(logger, error, message, self.error_pause)
        connections.close_all()
        self._sleep(self.error_pause)

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self.is_stopping() and (left := until - time.monotonic()) > 0:
            self.pulse.beat()
            time.sleep(min(left, 0.1))
