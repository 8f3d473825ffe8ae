"""A child process of :class:`WorkerProcesses`, and the pipe on which it reports to its parent."""

import logging
import os
import select
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from notifications.delivering.attempt_outcomes import Tally
from notifications.delivering.workers.stop_signals import SAME_STOP_SECONDS
from notifications.delivering.workers.worker import Worker

logger = logging.getLogger("notifications.worker")

REPORT_POLL_INTERVAL = 0.2
TICK_INTERVAL = 1.0
FROZEN_SECONDS = 10.0
"""Seconds without a tick, counted from the stop at the earliest."""

Report = Tally | int | list[str]
"""What a child sends: a tally of deliveries, at its end the number of failed threads, and for a tick the names of the
loops that are stuck."""


@dataclass
class ChildProcess:
    """A worker process. All times are of the monotonic clock.

    :param pipe: the pipe on which it reports.
    :param last_report_at: when its last report arrived.
    :param stop_requested_at: when it was asked to stop.
    :param wait_logged_at: when the log last said that the parent waits for it.
    :param stuck_loops: the loops that its last tick has named.
    """

    process: BaseProcess
    pipe: Connection
    last_report_at: float
    stop_requested_at: float | None = None
    wait_logged_at: float = 0.0
    is_stop_repeated: bool = False
    is_killed: bool = False
    stuck_loops: tuple[str, ...] = ()

    @property
    def ending(self) -> str:
        code = self.process.exitcode or 0
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"

    def request_stop(self, now: float) -> None:
        if self.stop_requested_at is None:
            self.process.terminate()
            self.stop_requested_at = self.wait_logged_at = now

    def repeat_stop(self, now: float) -> None:
        """Ask the child again to stop, so late that it cannot take this for the same stop."""
        if (
            self.stop_requested_at is not None
            and not self.is_stop_repeated
            and now - self.stop_requested_at > SAME_STOP_SECONDS + REPORT_POLL_INTERVAL
        ):
            self.process.terminate()
            self.is_stop_repeated = True

    def kill(self) -> None:
        self.process.kill()
        self.is_killed = True

    def kill_reason(self, now: float, max_stop_seconds: float) -> str:
        """Return why a child that was asked to stop must be killed, or an empty text if it need not be."""
        if self.stop_requested_at is None or self.is_killed:
            return ""
        if now - max(self.last_report_at, self.stop_requested_at) >= FROZEN_SECONDS:
            return f"is frozen: it has not reported for {FROZEN_SECONDS:g} seconds"
        if now - self.stop_requested_at >= max_stop_seconds:
            return f"has not ended within {max_stop_seconds:g} seconds, longer than any channel may take for a message"
        return ""


class ProgressPipe:
    """Sends reports to the parent. Any thread of a child may call it."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe
        self._lock = threading.Lock()

    def __call__(self, report: Report) -> None:
        # If the parent has ended, this process soon notices that and ends too.
        with self._lock, suppress(OSError):
            self.pipe.send(report)

    def tick(self, stuck_loops: list[str]) -> None:
        """Report that this process is alive, unless the pipe is full because the parent is frozen."""
        if select.select([], [self.pipe], [], 0)[1]:
            self(stuck_loops)


def tick_until_parent_ends(worker: Worker, parent: int, report: ProgressPipe) -> None:
    """Report regularly, and stop the worker when its parent ends: nobody else would stop or restart it."""
    while os.getppid() == parent:
        report.tick(worker.find_stuck_loops())
        time.sleep(TICK_INTERVAL)
    logger.error("The parent of this worker process has ended. This process finishes what it is sending and ends.")
    worker.stop()
