"""Several worker processes under one parent, which starts them, listens to them and ends them together.

They are forked from the parent, so that each begins in milliseconds. The parent holds no database connection and no
thread while it forks; it only waits. Children that lose their parent end in order by themselves.

Each child ticks once a second. When a stop was asked for, the parent says which children it waits for. It kills one
that has not ticked for a while, since a frozen process would keep everybody waiting for ever, and one that ticks but
goes on for longer than any channel may take for a message.
"""

import logging
import multiprocessing
import os
import select
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from django.db import connections

from notifications import conf
from notifications.channels import open_channel
from notifications.conf.channels import ProviderConf
from notifications.core.channel_classes import get_channel_conf
from notifications.delivering.tally import Tally
from notifications.delivering.workers.stop_signals import SAME_STOP_WITHIN, SIGNALS, stopping_in_order
from notifications.delivering.workers.worker import Worker

logger = logging.getLogger("notifications.worker")

LOOKS_EVERY = 0.2
TICKS_EVERY = 1.0
SAYS_EVERY = 5.0
FROZEN_AFTER = 10.0
"""Seconds without a tick, counted from the stop at the earliest."""
MARGIN = 60.0
"""Seconds for statements that wait for locks of other programs."""

News = Tally | int | None
"""What a child tells: what became of deliveries, at its end how many of its threads failed, and None for a tick."""


@dataclass
class Child:
    """A worker process.

    :param news: where it tells what it did.
    :param heard_at: when something came from it, by the monotonic clock, as the other times.
    :param asked_at: when it was asked to stop.
    :param said_at: when it was last said that it is waited for.
    """

    process: BaseProcess
    news: Connection
    heard_at: float
    asked_at: float | None = None
    said_at: float = 0.0
    is_asked_twice: bool = False
    is_killed: bool = False

    @property
    def ending(self) -> str:
        code = self.process.exitcode or 0
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"

    def ask(self, now: float) -> None:
        if self.asked_at is None:
            self.process.terminate()
            self.asked_at = self.said_at = now

    def ask_again(self, now: float) -> None:
        """So late after the first time that the child cannot take it for the same stop."""
        if (
            self.asked_at is not None
            and not self.is_asked_twice
            and now - self.asked_at > SAME_STOP_WITHIN + LOOKS_EVERY
        ):
            self.process.terminate()
            self.is_asked_twice = True

    def kill(self) -> None:
        self.process.kill()
        self.is_killed = True

    def fault(self, now: float, longest: float) -> str:
        """Why a child that was asked to stop must be killed; empty if it need not be."""
        if self.asked_at is None or self.is_killed:
            return ""
        if now - max(self.heard_at, self.asked_at) >= FROZEN_AFTER:
            return f"is frozen: it has given no sign of life for {FROZEN_AFTER:g} seconds"
        if now - self.asked_at >= longest:
            return f"has not ended within {longest:g} seconds, longer than any channel may take for a message"
        return ""


class Processes:
    """Runs as a :class:`Worker` does, in ``count`` processes, each a Worker with a heartbeat of its own.

    :param on_progress: called in the parent with each tally.
    :param options: what each Worker gets.
    """

    forks = True

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
        self._stop_asked_twice = False
        self._longest_end: float | None = None

    def stop(self) -> None:
        """End all children in order. May be called from a signal handler."""
        self._stop_asked = True

    def stop_now(self) -> None:
        """Ask the children a second time, so that they end at the next message. May be called from a signal handler."""
        self._stop_asked = self._stop_asked_twice = True

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
                # First, so that the ticks are heard that came while this process was itself frozen.
                self._listen(for_ever)
                self._see_to_their_end()
        finally:
            # Only an error comes here with children alive.
            self.stop()
            self._pass_the_stop_on()
            self._end_by_force()
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
        return Child(process, ours, heard_at=time.monotonic())

    def _be_a_child(self, work: Callable[[Worker], Tally], parent: int, ours: Connection, theirs: Connection) -> None:
        for inherited in [ours, *(child.news for child in self._alive)]:
            inherited.close()
        tell = Teller(theirs)
        worker = Worker(**self.options, on_progress=tell)
        # A terminal sends Ctrl-C to the whole group; the parent passes it on, once.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with stopping_in_order(worker, [signal.SIGTERM]):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            threading.Thread(target=tick_beside_the_parent, args=(worker, parent, tell), daemon=True).start()
            work(worker)
        tell(worker.errors)
        if worker.left_in_files:
            sys.exit(1)

    def _pass_the_stop_on(self) -> None:
        now = time.monotonic()
        for child in self._alive if self._stop_asked else ():
            child.ask(now)
            if self._stop_asked_twice:
                child.ask_again(now)

    def _see_to_their_end(self) -> None:
        """Say now and then which children are waited for, and kill those that will not end."""
        if not self._stop_asked:
            return
        if self._longest_end is None:
            self._longest_end = longest_end()
        now = time.monotonic()
        for child in self._alive:
            if fault := child.fault(now, self._longest_end):
                logger.error("Worker process %s %s; it is killed.", child.process.pid, fault)
                child.kill()
            elif child.asked_at is not None and now - child.said_at >= SAYS_EVERY:
                logger.warning("Worker process %s was asked to stop and is waited for.", child.process.pid)
                child.said_at = now

    def _end_by_force(self) -> None:
        until = time.monotonic() + longest_end()
        for child in self._alive:
            child.process.join(max(0.0, until - time.monotonic()))
            child.process.kill()
            child.process.join()

    def _listen(self, for_ever: bool) -> None:
        if not self._alive:
            time.sleep(LOOKS_EVERY)
        for ready in wait([child.news for child in self._alive], LOOKS_EVERY):
            [child] = [child for child in self._alive if child.news is ready]
            child.heard_at = time.monotonic()
            try:
                self._hear(child.news.recv())
            except (EOFError, OSError):
                self._bury(child, for_ever)

    def _hear(self, news: News) -> None:
        if isinstance(news, int):
            self.errors += news
        elif news is not None:
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

    def __call__(self, news: News) -> None:
        # If the parent is gone, this process is about to notice and end.
        with self._lock, suppress(OSError):
            self.news.send(news)

    def tick(self) -> None:
        """Give a sign of life, unless a parent that is itself frozen has let the pipe fill up."""
        if select.select([], [self.news], [], 0)[1]:
            self(None)


def let_go_of_databases() -> None:
    """What is open in two processes belongs to neither; and a pool's threads do not survive a fork."""
    connection: Any
    for connection in connections.all(initialized_only=True):
        connection.close()
        if connection.vendor == "postgresql":
            connection.close_pool()


def tick_beside_the_parent(worker: Worker, parent: int, tell: Teller) -> None:
    """Stop with the parent: nobody would end a worker whose parent was killed, nor start it again."""
    while os.getppid() == parent:
        tell.tick()
        time.sleep(TICKS_EVERY)
    logger.error("The parent of this worker process is gone; it finishes what it is sending and ends.")
    worker.stop()


def longest_end() -> float:
    """Seconds within which a child that was asked to stop has ended, unless something in it does not come back."""
    configured = conf.current()
    providers = [
        (name, provider) for name in configured.enabled_channels for provider in get_channel_conf(name).providers
    ]
    patience = max((_patience(name, provider) for name, provider in providers), default=0.0)
    return patience + configured.stop_seconds + MARGIN


def _patience(name: str, provider: ProviderConf) -> float:
    """The longest time until a channel looks whether it should stop. A transaction that is broken off loses nothing."""
    try:
        channel = open_channel(name, provider)
        return channel.patience * (1 if channel.one_by_one or channel.transactional else channel.group_size)
    except Exception:  # noqa: BLE001 - whatever its constructor raises, such a channel sends nothing
        return 0.0
