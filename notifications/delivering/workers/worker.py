"""The worker: threads that dispatch, and one that waits for commits and looks after lost workers."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import Error, connections, router

from notifications import conf
from notifications.core import clock
from notifications.core.connections import (
    allow_interrupts,
    interrupt_statements,
    is_outage,
    limit_threads_to_pool,
    return_connections_to_pools,
    use_own_connections,
)
from notifications.core.switch import is_off
from notifications.delivering.dispatcher import Dispatcher
from notifications.delivering.tally import Tally
from notifications.delivering.workers.heartbeat import HeartbeatThread
from notifications.delivering.workers.outage_log import OUTAGE_LOG
from notifications.delivering.workers.periodic_tasks import Scheduler
from notifications.delivering.workers.rescue import Rescuer
from notifications.delivering.workers.stop import Stop
from notifications.delivering.workers.wake_up import Waker
from notifications.models import Delivery

logger = logging.getLogger("notifications.worker")

LOOKS_FOR_A_STOP_EVERY = 0.5
LONG_REST = 1.0
"""Seconds. A provider may close a connection that is idle for longer."""
SECONDS_FOR_A_CHORE = 5.0
"""In one turn: lost workers are looked for by the same thread."""


class Worker:
    """Runs until stopped, or until the outbox is empty.

    :param workers: threads; providers are waited for, so more than cores makes sense.
    :param on_progress: called with each tally, from the threads.
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
        self.workers = limit_threads_to_pool(workers or configured.workers)
        self.batch_size = batch_size or configured.batch_size
        self.idle = configured.idle_seconds if idle is None else idle
        self.error_pause = configured.error_pause_seconds if error_pause is None else error_pause
        self.on_progress = on_progress
        self.using = router.db_for_write(Delivery)
        self.rescuer = Rescuer(self.using)
        self.errors = 0
        self.tally: Tally = Counter()
        self.left_in_files = 0
        """Outcomes that could not be written to the database before the end."""
        self._stop_asked = False
        self._stop_at_once = False
        self.stopping = Stop(self.stopped, self.is_stopped_at_once)
        self.rota = Scheduler(self.using, self.stopped)
        self._work = [threading.Event() for _ in range(self.workers)]
        self._lock = threading.Lock()

    def stop(self) -> None:
        """End at the next message, or group of messages; give back what is not begun, and return.

        May be called from any thread and from a signal handler, so it takes no lock: the handler may have interrupted
        whoever holds it.
        """
        self._stop_asked = True

    def stop_now(self) -> None:
        """End after the next answer of each provider, whatever its channel, and try nothing for long."""
        self._stop_asked = self._stop_at_once = True

    def stopped(self) -> bool:
        return self._stop_asked

    def is_stopped_at_once(self) -> bool:
        return self._stop_at_once

    def drain(self) -> Tally:
        """Work until nothing is ready, and take over from workers that are lost. The calling thread works too.

        While the system is switched off, it does nothing.
        """
        if is_off():
            return self.tally
        self.rescuer.look(clock.now(self.using))
        self.rota.run_due()
        self.errors += self.rota.errors
        self._drain_together()
        if self.rescuer.has_suspects:
            self._sleep(self.rescuer.patience)
            self.rescuer.look(clock.now(self.using))
            self._drain_together()
        return self.tally

    def watch(self) -> Tally:
        """Work until stopped, woken by commits. While the system is switched off, only wait for the stop."""
        if is_off():
            # The setting changes with the next start only. A worker that ended would be started again and again.
            self._sleep(float("inf"))
            return self.tally
        self.rota.patience = SECONDS_FOR_A_CHORE
        pulse = HeartbeatThread()
        if not self._register(pulse):
            return self.tally
        with pulse, self._ending_in_time():
            self.rescuer.pulse = pulse
            threads = [threading.Thread(target=self._keep_draining, args=(work, pulse)) for work in self._work]
            for thread in threads:
                thread.start()
            try:
                with use_own_connections():
                    allow_interrupts(self.using)
                    self._look_after_them()
            finally:
                self.stop()
                self._wake_all()
                for thread in threads:
                    thread.join()
        # This thread has looked for lost workers on a connection of its own.
        connections.close_all()
        return self.tally

    def _register(self, pulse: HeartbeatThread) -> bool:
        """Wait for the end of an outage in which this process was started; False if it was stopped before."""
        while not self.stopped():
            try:
                pulse.register()
            except Error as error:
                if not is_outage(error):
                    raise
                self._back_off(error, "The first heartbeat failed; tried again in %s seconds.")
            else:
                return True
        return False

    def _drain_together(self) -> None:
        if connections[self.using].in_atomic_block:
            # Inside somebody's transaction, as in a host's tests: another connection would wait for it for ever.
            self._drain_once(Dispatcher(self.batch_size, self.stopping))
            return
        with HeartbeatThread() as pulse, self._ending_in_time():
            others = [threading.Thread(target=self._drain_aside, args=(pulse,)) for _ in range(self.workers - 1)]
            for thread in others:
                thread.start()
            try:
                self._drain_once(Dispatcher(self.batch_size, self.stopping, pulse))
            finally:
                for thread in others:
                    thread.join()

    def _drain(self, dispatcher: Dispatcher) -> None:
        try:
            while not self.stopped():
                claimed, news = dispatcher.run_batch(self.batch_size)
                self._count(news)
                if claimed:
                    continue
                rest = dispatcher.get_rest_seconds()
                if rest is None:
                    return
                if rest >= LONG_REST:
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
            self._close(dispatcher)

    def _close(self, dispatcher: Dispatcher) -> None:
        left = dispatcher.close(conf.current().stop_seconds)
        # Also what was written after an error, and what went to a file.
        self._count(dispatcher.writer.counter.take())
        with self._lock:
            self.left_in_files += left

    def _count(self, news: Tally) -> None:
        with self._lock:
            self.tally += news
        self.on_progress(news)

    def _drain_aside(self, pulse: HeartbeatThread) -> None:
        try:
            self._drain_once(Dispatcher(self.batch_size, self.stopping, pulse))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - it is logged
            self.errors += 1
            OUTAGE_LOG.report_failure(logger, error, "A worker thread failed.")
        finally:
            connections.close_all()

    @contextmanager
    def _ending_in_time(self) -> Iterator[None]:
        """After a stop, break off statements that wait for locks of others, so that outcomes can go to a file."""
        ended = threading.Event()
        thread = threading.Thread(target=self._interrupt_after_a_stop, args=(ended,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _interrupt_after_a_stop(self, ended: threading.Event) -> None:
        while not self.stopped():
            if ended.wait(LOOKS_FOR_A_STOP_EVERY):
                return
        until = time.monotonic() + conf.current().stop_seconds
        while not ended.wait(LOOKS_FOR_A_STOP_EVERY):
            if time.monotonic() >= until or self.is_stopped_at_once():
                interrupt_statements()

    def _keep_draining(self, work: threading.Event, pulse: HeartbeatThread) -> None:
        allow_interrupts(self.using)
        dispatcher = Dispatcher(self.batch_size, self.stopping, pulse)
        while not self.stopped():
            try:
                self._drain(dispatcher)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - it is logged
                # A database that is away, a bug in a host's code: neither may end the worker.
                self._back_off(error, "A worker thread had an error and goes on in %s seconds.")
            else:
                OUTAGE_LOG.report_success()
                return_connections_to_pools()
                work.wait(self.idle)
                work.clear()
        self._close(dispatcher)
        connections.close_all()

    def _look_after_them(self) -> None:
        waker = Waker()
        while not self.stopped():
            try:
                waker.wait(self.idle, self.stopped)
                self.rescuer.look_now_and_then(clock.now(self.using))
                self.rota.run_due()
                OUTAGE_LOG.report_success()
            except Exception as error:  # noqa: BLE001 - it is logged
                self._back_off(error, "Waiting for commits failed; tried again in %s seconds.")
                waker.close()
                waker = Waker()
            self._wake_all()
        waker.close()

    def _wake_all(self) -> None:
        for work in self._work:
            work.set()

    def _back_off(self, error: BaseException, what: str) -> None:
        self.errors += 1
        OUTAGE_LOG.report_failure(logger, error, what, self.error_pause)
        connections.close_all()
        self._sleep(self.error_pause)

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self.stopped() and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))
