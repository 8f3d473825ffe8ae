"""Threads that deliver beside those whose provider takes long, so that a provider that hangs delays no other.

A thread of the worker waits until its provider has answered. While threads wait for longer than
:data:`~notifications.delivering.pending_groups.SLOW_SECONDS`, as many relief threads deliver to the other providers, up
to the number of threads of the worker, and up to two if it has one. They give back the groups that wait behind the slow
provider, and claim what is ready for the others. They connect outside of connection pools, because the threads that
wait keep the connections of the pool. After a while without a slow provider they end.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from django.db import connections

from notifications.core.connections import allow_interrupts, use_own_connections
from notifications.delivering.attempt_outcomes import Tally
from notifications.delivering.dispatcher import Dispatcher
from notifications.delivering.pending_groups import BusyProviders, PendingGroups
from notifications.delivering.workers.heartbeat import HeartbeatThread
from notifications.delivering.workers.outage_log import OUTAGE_LOG

logger = logging.getLogger("notifications.worker")

CHECK_SECONDS = 0.05
LINGER_SECONDS = 10.0
"""How long a relief thread waits for the next slow provider before it ends."""
SHORT_POLL_SECONDS = 0.1
"""The pause between two claims while a provider that the thread leaves out may soon be free again."""
MIN_THREADS = 2
"""With two relief threads, the others are not delayed by two providers that hang at the same time."""
POLL_SHARE = 5
"""A pause after a claim that found nothing is at least so many times as long as the claim took."""


class Crew(Protocol):
    """The worker, as its relief threads use it."""

    using: str
    threads: int
    idle: float
    error_pause: float
    errors: int

    def make_dispatcher(self, heartbeat: HeartbeatThread, pending: PendingGroups) -> Dispatcher: ...

    def close_dispatcher(self, dispatcher: Dispatcher) -> None: ...

    def add_to_tally(self, tally: Tally) -> None: ...

    def wake_all(self) -> None: ...

    def is_stopping(self) -> bool: ...


class Relief:
    """The relief threads of a worker process, and the thread that starts them."""

    def __init__(self, crew: Crew) -> None:
        self.crew = crew
        self.busy = BusyProviders()
        self.has_worked = False
        """Whether a relief thread has delivered since :meth:`run` began. It may have given back deliveries."""
        self._ended = threading.Event()
        self._wake_events = [threading.Event() for _ in range(max(MIN_THREADS, crew.threads))]
        self._threads: dict[int, threading.Thread] = {}
        self._slow_count = 0

    @contextmanager
    def run(self, heartbeat: HeartbeatThread) -> Iterator[None]:
        """Start relief threads while providers are slow, until the block ends. Then wait for their last groups."""
        self.has_worked = False
        self._ended.clear()
        watcher = threading.Thread(target=self._watch, args=(heartbeat,), name="klaxon-relief", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            self._ended.set()
            self.busy.is_sending.set()
            watcher.join()
            self.wake()
            for thread in self._threads.values():
                thread.join()
            self._threads.clear()

    def wake(self) -> None:
        """Let the relief threads look for deliveries now, because some may be ready."""
        for event in self._wake_events:
            event.set()

    def _watch(self, heartbeat: HeartbeatThread) -> None:
        while not self._ended.is_set():
            # Costs nothing while no provider has a group.
            self.busy.is_sending.wait()
            self._ended.wait(CHECK_SECONDS)
            before, self._slow_count = self._slow_count, self.busy.count_behind()
            if not self._slow_count:
                self.busy.clear_if_unused()
                continue
            for number in range(min(self._slow_count, len(self._wake_events))):
                self._start(number, heartbeat)
            if self._slow_count > before:
                self.wake()

    def _start(self, number: int, heartbeat: HeartbeatThread) -> None:
        running = self._threads.get(number)
        if not (running and running.is_alive()) and not self._is_ending():
            name = f"klaxon-relief-{number + 1}"
            self._threads[number] = threading.Thread(target=self._run_thread, args=(number, heartbeat), name=name)
            self._threads[number].start()

    def _is_ending(self) -> bool:
        return self._ended.is_set() or self.crew.is_stopping()

    def _run_thread(self, number: int, heartbeat: HeartbeatThread) -> None:
        with use_own_connections():
            allow_interrupts(self.crew.using)
            dispatcher = self.crew.make_dispatcher(heartbeat, PendingGroups(self.busy, is_relief=True))
            is_needed = True
            while is_needed:
                try:
                    if is_needed := self._wait_until_needed(number, dispatcher):
                        self._deliver(dispatcher, self._wake_events[number])
                except (Exception, SystemExit) as error:  # noqa: BLE001 - it is logged
                    self.crew.errors += 1
                    message = "A relief thread of the worker failed. It continues in %s seconds."
                    OUTAGE_LOG.report_failure(logger, error, message, self.crew.error_pause)
                    connections.close_all()
                    self._ended.wait(self.crew.error_pause)
            self.crew.close_dispatcher(dispatcher)
        connections.close_all()

    def _wait_until_needed(self, number: int, dispatcher: Dispatcher) -> bool:
        """Wait until more threads wait for slow providers than relief threads before this one. Return False to end."""
        if self._slow_count <= number:
            dispatcher.release_connections()
        until = time.monotonic() + LINGER_SECONDS
        while self._slow_count <= number and not self._is_ending():
            if (left := until - time.monotonic()) <= 0:
                # After an outage of the database it keeps outcomes, which this writes.
                dispatcher.release_connections()
                return bool(dispatcher.session.writer.unwritten_ids())
            self._wake_events[number].wait(left)
            self._wake_events[number].clear()
        return not self._is_ending()

    def _deliver(self, dispatcher: Dispatcher, wake: threading.Event) -> None:
        """Deliver a batch. If nothing is ready, wait for a commit or for the next poll."""
        self.has_worked = True
        if dispatcher.give_back_waiting():
            self.crew.wake_all()
        wake.clear()
        began = time.monotonic()
        claimed, tally = dispatcher.run_batch()
        self.crew.add_to_tally(tally)
        if claimed:
            return
        # With many deliveries of a slow channel, a claim of the others takes long.
        self._ended.wait(min(POLL_SHARE * (time.monotonic() - began), self.crew.idle))
        dispatcher.release_connections()
        wake.wait(SHORT_POLL_SECONDS if self.busy.may_change() else self.crew.idle)
