"""The pulse of a process: when each of its loops last went round, so that a loop that is stuck does not go unnoticed.

A loop that fails again and again goes round. It is stuck only if a call within it does not return, such as one to a
database that no longer answers.
"""

import threading
import time

STUCK_SECONDS = 120.0
"""A statement of a busy database can take long. So this is long, and the interval of a loop is added to it."""


class Pulse:
    """Notes the rounds of the loops of one process. Each thread has at most one loop."""

    def __init__(self) -> None:
        self._loops: dict[int, tuple[str, float]] = {}
        self._rounds: dict[int, float] = {}

    def start(self, name: str, interval: float = 0.0) -> None:
        """Expect rounds of a loop of this thread from now on.

        :param interval: the seconds for which the loop may wait in one round.
        """
        thread = threading.get_ident()
        self._rounds[thread] = time.monotonic()
        self._loops[thread] = (name, interval)

    def beat(self) -> None:
        """Note a round of the loop of this thread, if it has one."""
        thread = threading.get_ident()
        if thread in self._loops:
            self._rounds[thread] = time.monotonic()

    def end(self) -> None:
        """Expect no more rounds of the loop of this thread."""
        self._loops.pop(threading.get_ident(), None)

    def find_stuck(self) -> list[str]:
        """Return the names of the loops that have not gone round for too long."""
        now = time.monotonic()
        return sorted(
            name
            for thread, (name, interval) in list(self._loops.items())
            if now - self._rounds[thread] > STUCK_SECONDS + interval
        )
