"""What workers do beside delivering, now and then: each chore by itself, so that one that fails stops no other.

Rooms above add theirs when Django starts; the delivering wing knows only that there are some.
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

Enough = Callable[[], bool]


@dataclass(frozen=True)
class PeriodicTask:
    """Something to do about every so many seconds, in each worker process: it must bear company.

    :param run: called with the time, and a function that says when to break off. What it raises is logged, and the
        chore has its next turn.
    """

    name: str
    every: float
    run: Callable[[datetime, Enough], Any]


CHORES: dict[str, PeriodicTask] = {}


def add(name: str, every: float, run: Callable[[datetime, Enough], Any]) -> None:
    """Chores have their turns in the order in which they were added."""
    CHORES[name] = PeriodicTask(name, every, run)


class Scheduler:
    """Whose turn it is, in one process.

    :param stopped: says when to do no more.
    :param patience: seconds for one turn; what was not finished goes on in the next round.
    """

    def __init__(self, using: str, stopped: Enough = lambda: False, patience: float = float("inf")) -> None:
        self.using = using
        self.stopped = stopped
        self.patience = patience
        self.errors = 0
        self._next: dict[str, float] = {}

    def run_due(self) -> None:
        """Do what has its turn; at the first call that is everything."""
        for chore in list(CHORES.values()):
            if time.monotonic() >= self._next.get(chore.name, 0.0) and not self.stopped():
                self._next[chore.name] = time.monotonic() + chore.every
                self._run(chore)

    def _run(self, chore: PeriodicTask) -> None:
        until = time.monotonic() + self.patience
        try:
            chore.run(clock.now(self.using), lambda: self.stopped() or time.monotonic() > until)
        except Exception as error:  # noqa: BLE001 - it is logged
            # Whatever a chore does wrong, deliveries go on.
            self.errors += 1
            what = "The chore %r failed; it has its next turn in %g seconds."
            OUTAGE_LOG.report_failure(logger, error, what, chore.name, chore.every)
        else:
            if time.monotonic() > until:
                self._next[chore.name] = 0.0
