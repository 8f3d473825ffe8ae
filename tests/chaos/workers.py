"""Processes: children forked from a warmed parent. Each ends by itself at last; only own children get signals."""

import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from django.db import connections

from notifications.delivering.workers.stop_signals import stop_on_signals
from notifications.delivering.workers.worker import Worker
from notifications.delivering.workers.worker_processes import WorkerProcesses
from tests.chaos import lies
from tests.chaos.failpoints import FailPoint, write_down
from tests.chaos.journal import Journal

LONGEST_LIFE = 3600
SECONDS_TO_END = 40


def work(
    journal: Journal, fail_point: FailPoint | None = None, threads: int = 1, lie: str = "", processes: int = 1
) -> None:
    """What ``dispatch_notifications --watch`` does, observed."""
    write_down(journal)
    lies.tell(lie)
    if fail_point:
        fail_point.install()
    worker = Worker(workers=threads) if processes == 1 else WorkerProcesses(processes, workers=threads)
    with stop_on_signals(worker):
        worker.watch()


def fork(task: Callable[[], None], said: Path) -> int:
    """Run ``task`` in a child whose words go to the file ``said``; returns its pid."""
    connections.close_all()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND), sys.stderr.fileno())
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.alarm(LONGEST_LIFE)
        random.seed()
        task()
        code = 0
    finally:
        # No clean-up of the parent's may run here: it would stop the database.
        if code:
            traceback.print_exc()
        os._exit(code)


class Pool:
    """Children of one fault. Whatever happens, none outlives the block."""

    def __init__(self, said: Path, journal: Journal) -> None:
        self.said, self.journal = said, journal
        self.alive: set[int] = set()
        self.ended: Counter[str] = Counter()

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self, task: Callable[[], None], how_many: int = 1) -> list[int]:
        started = [fork(task, self.said) for _ in range(how_many)]
        self.alive.update(started)
        return started

    def tell(self, pid: int, number: signal.Signals) -> None:
        if pid in self.alive:
            os.kill(pid, number)

    def tell_all(self, pids: set[int], number: signal.Signals = signal.SIGTERM) -> None:
        for pid in pids:
            self.tell(pid, number)

    def reap(self) -> set[int]:
        """Take note of those that have ended; returns their pids."""
        gone = set()
        for pid in self.alive:
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                gone.add(pid)
                self.ended[_ending(status)] += 1
                if os.WIFSIGNALED(status):
                    self.journal.note_death(pid)
        self.alive -= gone
        return gone

    def wait_for(self, pids: set[int], seconds: float = SECONDS_TO_END) -> bool:
        """Whether all of them ended in time."""
        deadline = time.monotonic() + seconds
        while pids & self.alive and time.monotonic() < deadline:
            self.reap()
            time.sleep(0.005)
        return not pids & self.alive

    def stop(self) -> None:
        """End all in order, then by force what will not end."""
        everyone = set(self.alive)
        for number in (signal.SIGCONT, signal.SIGTERM):
            self.tell_all(everyone, number)
        if not self.wait_for(everyone):
            self.ended["did not end"] += len(self.alive)
            self.tell_all(everyone, signal.SIGKILL)
            self.wait_for(everyone)

    @property
    def failures(self) -> int:
        """Children that ended as none should: with an error, or not at all."""
        return sum(count for how, count in self.ended.items() if how not in ("0", "SIGKILL", "SIGABRT"))


def _ending(status: int) -> str:
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return str(os.waitstatus_to_exitcode(status))
