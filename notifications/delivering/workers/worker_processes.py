"""Several worker processes under one parent, which starts them, reads their reports and stops them together.

The parent forks them, so that each starts in milliseconds. While it forks, the parent has no database connection and no
other thread; it only waits. If the parent ends, its children stop gracefully.

Each child ticks once a second. After a stop was requested, the parent logs which children it waits for. It kills a
child that has not ticked for a while, since a frozen process would delay the end without limit, and a child that ticks
but runs for longer than any channel may take for a message.
"""

import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any

from notifications import conf
from notifications.core.connections import close_databases
from notifications.delivering.attempt_outcomes import Tally
from notifications.delivering.workers.child_process import (
    REPORT_POLL_INTERVAL,
    ChildProcess,
    ProgressPipe,
    Report,
    tick_until_parent_ends,
)
from notifications.delivering.workers.longest_send import get_longest_send_seconds
from notifications.delivering.workers.pulse import STUCK_SECONDS
from notifications.delivering.workers.stop_signals import SIGNALS, stop_on_signals
from notifications.delivering.workers.worker import Worker

logger = logging.getLogger("notifications.worker")

WAIT_LOG_INTERVAL = 5.0
STOP_MARGIN = 60.0
"""Seconds for statements that wait for locks of other programs."""


class WorkerProcesses:
    """Runs like a :class:`Worker`, in ``count`` processes. Each is a Worker with its own heartbeat.

    :param on_progress: called in the parent with each tally.
    :param options: the options of each Worker.
    """

    forks = True

    def __init__(
        self, count: int, *, on_progress: Callable[[Tally], None] = lambda tally: None, **options: Any
    ) -> None:
        self.count = count
        self.on_progress = on_progress
        self.on_round: Callable[[], None] = lambda: None
        """Called in the parent several times a second."""
        self.options = options
        self.restart_pause = options.get("error_pause") or conf.current().error_pause_seconds
        self.tally: Tally = Counter()
        self.errors = 0
        self.failed_processes = 0
        # A child with outcomes that it could not write ends with status 1, and counts as failed.
        self.outcomes_in_files = 0
        self._children: list[ChildProcess] = []
        self._start_times: list[float] = []
        self._is_stop_requested = False
        self._is_stop_repeated = False
        self._max_stop_seconds: float | None = None

    def stop(self) -> None:
        """Stop all children gracefully. May be called from a signal handler."""
        self._is_stop_requested = True

    def stop_now(self) -> None:
        """Pass a second stop on to all children; each stops after the next receipt.

        May be called from a signal handler.
        """
        self._is_stop_requested = self._is_stop_repeated = True

    def is_stopping(self) -> bool:
        return self._is_stop_requested

    def find_stuck_loops(self) -> list[str]:
        """Return the loops of the children that are stuck, and the children that are frozen."""
        now = time.monotonic()
        stuck = [f"{name} of process {child.process.pid}" for child in self._children for name in child.stuck_loops]
        frozen = [child for child in self._children if now - child.last_report_at > STUCK_SECONDS]
        return [*stuck, *(f"process {child.process.pid}" for child in frozen)]

    def drain(self) -> Tally:
        """Run until nothing is ready. ``errors`` counts failed threads, ``failed_processes`` failed processes."""
        return self._run(Worker.drain, should_restart=False)

    def watch(self) -> Tally:
        """Run until stopped. A child that ends before that is started again after a pause."""
        return self._run(Worker.watch, should_restart=True)

    def _run(self, work: Callable[[Worker], Tally], should_restart: bool) -> Tally:
        self._start_times = [time.monotonic()] * self.count
        try:
            while self._children or self._start_times:
                self._start_due(work, should_restart)
                self._forward_stop()
                # This comes before the check, so that ticks that arrived while this process was itself frozen count.
                self._read_reports(should_restart)
                self._supervise_stop()
                self.on_round()
        finally:
            # Children are alive here only after an error.
            self.stop()
            self._forward_stop()
            self._kill_remaining()
        return self.tally

    def _start_due(self, work: Callable[[Worker], Tally], should_restart: bool) -> None:
        if self._is_stop_requested:
            self._start_times.clear()
        for at in [at for at in self._start_times if at <= time.monotonic()]:
            self._start_times.remove(at)
            try:
                self._children.append(self._fork(work))
            except OSError as error:
                self._handle_loss(f"A worker process could not be started ({error})", should_restart)

    def _fork(self, work: Callable[[Worker], Tally]) -> ChildProcess:
        close_databases()
        reader, writer = multiprocessing.Pipe(duplex=False)
        arguments = (work, os.getpid(), reader, writer)
        process = multiprocessing.get_context("fork").Process(target=self._run_child, args=arguments)
        # A signal before the child has installed its handlers would be lost, so signals are blocked until then.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            writer.close()
        return ChildProcess(process, reader, last_report_at=time.monotonic())

    def _run_child(self, work: Callable[[Worker], Tally], parent: int, reader: Connection, writer: Connection) -> None:
        for inherited in [reader, *(child.pipe for child in self._children)]:
            inherited.close()
        report = ProgressPipe(writer)
        worker = Worker(**self.options, on_progress=report)
        # A terminal sends Ctrl-C to the whole group. The parent forwards it once.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with stop_on_signals(worker, [signal.SIGTERM]):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            threading.Thread(target=tick_until_parent_ends, args=(worker, parent, report), daemon=True).start()
            work(worker)
        report(worker.errors)
        if worker.outcomes_in_files:
            sys.exit(1)

    def _forward_stop(self) -> None:
        now = time.monotonic()
        for child in self._children if self._is_stop_requested else ():
            child.request_stop(now)
            if self._is_stop_repeated:
                child.repeat_stop(now)

    def _supervise_stop(self) -> None:
        """Log regularly which children the parent waits for, and kill those that do not end."""
        if not self._is_stop_requested:
            return
        if self._max_stop_seconds is None:
            self._max_stop_seconds = max_stop_seconds()
        now = time.monotonic()
        for child in self._children:
            if reason := child.kill_reason(now, self._max_stop_seconds):
                logger.error("Worker process %s %s. The parent kills it.", child.process.pid, reason)
                child.kill()
            elif child.stop_requested_at is not None and now - child.wait_logged_at >= WAIT_LOG_INTERVAL:
                logger.warning("Worker process %s was asked to stop. The parent waits for it.", child.process.pid)
                child.wait_logged_at = now

    def _kill_remaining(self) -> None:
        until = time.monotonic() + max_stop_seconds()
        for child in self._children:
            child.process.join(max(0.0, until - time.monotonic()))
            child.process.kill()
            child.process.join()

    def _read_reports(self, should_restart: bool) -> None:
        if not self._children:
            time.sleep(REPORT_POLL_INTERVAL)
        for ready in wait([child.pipe for child in self._children], REPORT_POLL_INTERVAL):
            [child] = [child for child in self._children if child.pipe is ready]
            child.last_report_at = time.monotonic()
            try:
                self._handle_report(child, child.pipe.recv())
            except (EOFError, OSError):
                self._remove_child(child, should_restart)

    def _handle_report(self, child: ChildProcess, report: Report) -> None:
        if isinstance(report, int):
            self.errors += report
        elif isinstance(report, list):
            child.stuck_loops = tuple(report)
        else:
            self.tally += report
            self.on_progress(report)

    def _remove_child(self, child: ChildProcess, should_restart: bool) -> None:
        self._children.remove(child)
        child.pipe.close()
        child.process.join()
        if child.process.exitcode or (should_restart and not self._is_stop_requested):
            self._handle_loss(f"Worker process {child.process.pid} {child.ending}", should_restart)

    def _handle_loss(self, message: str, should_restart: bool) -> None:
        if should_restart and not self._is_stop_requested:
            logger.error("%s. Another one starts in %s seconds.", message, self.restart_pause)
            self._start_times.append(time.monotonic() + self.restart_pause)
        else:
            logger.error("%s.", message)
            self.failed_processes += 1


def max_stop_seconds() -> float:
    """Return the seconds in which a child that was asked to stop ends, unless one of its calls never returns."""
    return get_longest_send_seconds() + conf.current().stop_seconds + STOP_MARGIN
