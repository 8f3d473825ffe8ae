"""Several worker processes under one parent, which starts them, listens to them and ends them together.

They are forked from the parent, so that each begins in milliseconds. The parent holds no database connection and no
thread while it forks; it only waits. Children that lose their parent end in order by themselves.
"""

import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from django.db import connections

from notifications import conf
from notifications.dispatch.dispatcher import Tally
from notifications.dispatch.worker import Worker

logger = logging.getLogger("notifications.worker")

SIGNALS = (signal.SIGTERM, signal.SIGINT)
LOOKS_EVERY = 0.2
ORPHANS_LOOK_EVERY = 1.0


class Stoppable(Protocol):
    def stop(self) -> None: ...


@contextmanager
def stopping_in_order(worker: Stoppable) -> Iterator[None]:
    """SIGTERM and SIGINT end the worker between two groups. Python lets only the main thread ask for signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [signal.signal(number, lambda *_: worker.stop()) for number in SIGNALS]
    try:
        yield
    finally:
        for number, handler in zip(SIGNALS, before, strict=True):
            signal.signal(number, handler)


@dataclass
class Child:
    """A worker process; ``news`` is where it tells what it did."""

    process: BaseProcess
    news: Connection
    told_to_stop: bool = False

    @property
    def ending(self) -> str:
        code = self.process.exitcode or 0
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"


class Processes:
    """Runs as a :class:`Worker` does, in ``count`` processes, each a Worker with a heartbeat of its own.

    :param on_progress: called in the parent with each tally.
    :param options: what each Worker gets.
    """

    def __init__(
        self, count: int, *, on_progress: Callable[[Tally], None] = lambda tally: None, **options: Any
    ) -> None:
        self.count = count
        self.on_progress = on_progress
        self.options = options
        self.restart_pause = options.get("error_pause") or conf.current().error_pause_seconds
        self.tally: Tally = Counter()
        self.errors = 0
        self.died = 0
        # A child with outcomes that it could not write ends with status 1, and counts as died.
        self.left_in_files = 0
        self._alive: list[Child] = []
        self._due: list[float] = []
        self._stop_asked = False

    def stop(self) -> None:
        """End all children in order. May be called from a signal handler."""
        self._stop_asked = True

    def drain(self) -> Tally:
        """Work until nothing is ready. ``errors`` counts failed threads, ``died`` processes that did not end well."""
        return self._run(Worker.drain, for_ever=False)

    def watch(self) -> Tally:
        """Work until stopped. A child that ends before is started again, after a pause."""
        return self._run(Worker.watch, for_ever=True)

    def _run(self, work: Callable[[Worker], Tally], for_ever: bool) -> Tally:
        self._due = [time.monotonic()] * self.count
        try:
            while self._alive or self._due:
                self._start_those_due(work, for_ever)
                self._pass_the_stop_on()
                self._listen(for_ever)
        finally:
            # Only an error comes here with children alive.
            self.stop()
            self._pass_the_stop_on()
            for child in self._alive:
                child.process.join()
        return self.tally

    def _start_those_due(self, work: Callable[[Worker], Tally], for_ever: bool) -> None:
        if self._stop_asked:
            self._due.clear()
        for at in [at for at in self._due if at <= time.monotonic()]:
            self._due.remove(at)
            try:
                self._alive.append(self._fork(work))
            except OSError as error:
                self._lost(f"A worker process could not be started ({error})", for_ever)

    def _fork(self, work: Callable[[Worker], Tally]) -> Child:
        let_go_of_databases()
        ours, theirs = multiprocessing.Pipe(duplex=False)
        arguments = (work, os.getpid(), ours, theirs)
        process = multiprocessing.get_context("fork").Process(target=self._be_a_child, args=arguments)
        # A signal between the fork and the child's own handlers would be lost; held back, it arrives after them.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()
        return Child(process, ours)

    def _be_a_child(self, work: Callable[[Worker], Tally], parent: int, ours: Connection, theirs: Connection) -> None:
        for inherited in [ours, *(child.news for child in self._alive)]:
            inherited.close()
        tell = Teller(theirs)
        worker = Worker(**self.options, on_progress=tell)
        with stopping_in_order(worker):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            threading.Thread(target=stop_with_the_parent, args=(worker, parent), daemon=True).start()
            work(worker)
        tell(worker.errors)
        if worker.left_in_files:
            sys.exit(1)

    def _pass_the_stop_on(self) -> None:
        for child in self._alive if self._stop_asked else ():
            if not child.told_to_stop:
                child.process.terminate()
                child.told_to_stop = True

    def _listen(self, for_ever: bool) -> None:
        if not self._alive:
            time.sleep(LOOKS_EVERY)
        for ready in wait([child.news for child in self._alive], LOOKS_EVERY):
            [child] = [child for child in self._alive if child.news is ready]
            try:
                self._hear(child.news.recv())
            except (EOFError, OSError):
                self._bury(child, for_ever)

    def _hear(self, news: Tally | int) -> None:
        if isinstance(news, int):
            self.errors += news
        else:
            self.tally += news
            self.on_progress(news)

    def _bury(self, child: Child, for_ever: bool) -> None:
        self._alive.remove(child)
        child.news.close()
        child.process.join()
        if child.process.exitcode or (for_ever and not self._stop_asked):
            self._lost(f"Worker process {child.process.pid} {child.ending}", for_ever)

    def _lost(self, what: str, for_ever: bool) -> None:
        if for_ever and not self._stop_asked:
            logger.error("%s; another is started in %s seconds.", what, self.restart_pause)
            self._due.append(time.monotonic() + self.restart_pause)
        else:
            logger.error("%s.", what)
            self.died += 1


class Teller:
    """Tells the parent; called from any thread of a child."""

    def __init__(self, news: Connection) -> None:
        self.news = news
        self._lock = threading.Lock()

    def __call__(self, news: Tally | int) -> None:
        # If the parent is gone, this process is about to notice and end.
        with self._lock, suppress(OSError):
            self.news.send(news)


def let_go_of_databases() -> None:
    """What is open in two processes belongs to neither; and a pool's threads do not survive a fork."""
    connection: Any
    for connection in connections.all(initialized_only=True):
        connection.close()
        if connection.vendor == "postgresql":
            connection.close_pool()


def stop_with_the_parent(worker: Worker, parent: int) -> None:
    """Nobody would end a worker whose parent was killed, nor start it again."""
    while os.getppid() == parent:
        time.sleep(ORPHANS_LOOK_EVERY)
    logger.error("The parent of this worker process is gone; it finishes what it is sending and ends.")
    worker.stop()
