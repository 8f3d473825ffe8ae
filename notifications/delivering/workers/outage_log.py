"""What a process logs about a database that cannot be used: one line when it goes, one a minute, one when it is back.

Every thread of a worker meets the same outage again and again. Each failure with its traceback is logged at DEBUG only.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from notifications.core.connections import is_outage

logger = logging.getLogger("notifications.worker")

SAYS_EVERY = 60.0
CALM_AFTER = 5.0
"""Seconds without a failure after which the database counts as back: each thread has an old connection to lose."""


class OutageLog:
    """Counts the failures of all threads of a process.

    :param clock: seconds that never jump.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._began_at = self._failed_at = 0.0
        self._said_at: float | None = None
        self._back_at = float("-inf")

    def report_failure(self, source: logging.Logger, error: BaseException, what: str, *args: Any) -> None:
        """Log an error that was caught: with its traceback, unless it means that the database cannot be used.

        :param what: a sentence that says what failed; ``args`` are for its placeholders.
        """
        if not is_outage(error):
            source.error(what, *args, exc_info=error)
            return
        source.debug(what, *args, exc_info=error)
        if line := self._count():
            # A statement that is always too slow looks like an outage too, so the line says what failed.
            logger.error(*line, " ".join(str(error).split()), what % args if args else what)

    def report_success(self) -> None:
        """Call it after a success: costs nothing while all is well."""
        if self._failures and (line := self._calm_down()):
            logger.warning(*line)

    def _count(self) -> tuple[Any, ...]:
        """The line to log now, without the words of the error and what failed; empty if there is none."""
        with self._lock:
            now = self._clock()
            if not self._failures:
                self._began_at = now
            self._failures += 1
            self._failed_at = now
            if not self._is_time_to_speak(now):
                return ()
            is_new, self._said_at = self._said_at is None, now
            if is_new:
                return ("The database cannot be used. It is tried again until it can: %s (%s)",)
            seconds = round(now - self._began_at)
            return "The database has not been usable for %d seconds (%d failures): %s (%s)", seconds, self._failures

    def _is_time_to_speak(self, now: float) -> bool:
        if self._said_at is not None:
            return now - self._said_at >= SAYS_EVERY
        # After an outage a thread may find its old connection broken. Only failures that go on are another outage.
        is_fresh = now - self._back_at >= SAYS_EVERY
        return is_fresh or now - self._began_at >= CALM_AFTER

    def _calm_down(self) -> tuple[Any, ...]:
        with self._lock:
            now = self._clock()
            if not self._failures or now - self._failed_at < CALM_AFTER:
                return ()
            failures, self._failures = self._failures, 0
            was_said, self._said_at = self._said_at is not None, None
            if not was_said:
                return ()
            self._back_at = now
            seconds = round(self._failed_at - self._began_at)
            return "The database can be used again. It failed for %d seconds (%d failures).", seconds, failures


OUTAGE_LOG = OutageLog()
"""That of this process."""
