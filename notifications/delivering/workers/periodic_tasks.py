"""The periodic tasks of workers, such as making digests. A task that fails does not stop the others.

Other packages register their tasks when Django starts, so the delivering wing does not import them.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from notifications.core import clock
from notifications.delivering.workers.outage_log import OUTAGE_LOG

logger = logging.getLogger("notifications.worker")

ShouldStop = Callable[[], bool]


@dataclass(frozen=True)
class PeriodicTask:
    """A task that each worker process runs about every ``every`` seconds. It must be safe to run concurrently.

    :param run: called with the time and a function that returns whether to stop early. An exception that it raises is
        logged, and the task runs again at its next time.
    :param is_simulated: whether the simulator of :mod:`notifications.testing` runs it too. Tasks that look after the
        site, such as the alarm and the purge, have nothing to do in a simulation.
    """

    name: str
    every: float
    run: Callable[[datetime, ShouldStop], Any]
    is_simulated: bool = True


PERIODIC_TASKS: dict[str, PeriodicTask] = {}


def register_periodic_task(
    name: str, every: float, run: Callable[[datetime, ShouldStop], Any], is_simulated: bool = True
) -> None:
    """Register a periodic task. Tasks run in the order in which they were registered."""
    PERIODIC_TASKS[name] = PeriodicTask(name, every, run, is_simulated)


class Scheduler:
    """Runs the periodic tasks of one process.

    :param should_stop: whether to run no more tasks.
    :param timeout: seconds for one run of a task. A task that does not finish in that time continues in the next round.
    """

    def __init__(self, using: str, should_stop: ShouldStop = lambda: False, timeout: float = float("inf")) -> None:
        self.using = using
        self.should_stop = should_stop
        self.timeout = timeout
        self.errors = 0
        self._next_run: dict[str, float] = {}

    def run_due(self) -> None:
        """Run the tasks that are due; on the first call, all of them."""
        for task in list(PERIODIC_TASKS.values()):
            if time.monotonic() >= self._next_run.get(task.name, 0.0) and not self.should_stop():
                self._next_run[task.name] = time.monotonic() + task.every
                self._run(task)

    def _run(self, task: PeriodicTask) -> None:
        deadline = time.monotonic() + self.timeout
        try:
            task.run(clock.now(self.using), lambda: self.should_stop() or time.monotonic() > deadline)
        except Exception as error:  # noqa: BLE001 - it is logged
            # No error of a task may stop deliveries.
            self.errors += 1
            message = "The periodic task %r failed. It runs again in %g seconds."
            OUTAGE_LOG.report_failure(logger, error, message, task.name, task.every)
        else:
            if time.monotonic() > deadline:
                self._next_run[task.name] = 0.0
