"""The log of a process about a database outage: a line at its start, one each minute, and one at its end.

Every thread of a worker fails repeatedly during the same outage. Each failure with its traceback is logged at DEBUG
only.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from notifications.core.databases import is_outage

logger = logging.getLogger("notifications.worker")

LOG_INTERVAL = 60.0
RECOVERY_SECONDS = 5.0
"""Seconds without a failure after which the outage is over: each thread may first fail on an old connection."""


Listener = Callable[[float], None]
"""A function that gets the seconds for which the database has not been usable."""
_listeners: dict[str, Listener] = {}


def register_outage_listener(name: str, listener: Listener) -> None:
    """Let a function be called at each failure of an outage, in the thread that has failed. It must return quickly."""
    _listeners[name] = listener


class OutageLog:
    """Counts the failures of all threads of a process.

    :param clock: a monotonic clock, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._began_at = self._failed_at = 0.0
        self._logged_at: float | None = None
        self._recovered_at = float("-inf")

    def report_failure(self, source: logging.Logger, error: BaseException, message: str, *args: Any) -> None:
        """Log a caught error, with its traceback unless it means that the database cannot be used.

        :param message: a sentence that says what failed; ``args`` are for its placeholders.
        """
        if not is_outage(error):
            source.error(message, *args, exc_info=error)
            return
        source.debug(message, *args, exc_info=error)
        if line := self._count_failure():
            # A statement that is always too slow looks like an outage too, so the line says what failed.
            logger.error(*line, " ".join(str(error).split()), message % args if args else message)
        seconds = self._clock() - self._began_at
        for name, listener in list(_listeners.items()):
            try:
                listener(seconds)
            except Exception:
                # It must not end the thread, which tries again.
                logger.exception("The listener %r has failed.", name)

    def report_success(self) -> None:
        """Note that the database was used. This costs nothing if there is no outage."""
        if self._failures and (line := self._end_outage()):
            logger.warning(*line)

    def _count_failure(self) -> tuple[Any, ...]:
        """Return the line to log now, without the error and what failed. It is empty if there is nothing to log."""
        with self._lock:
            now = self._clock()
            if not self._failures:
                self._began_at = now
            self._failures += 1
            self._failed_at = now
            if not self._should_log(now):
                return ()
            is_first, self._logged_at = self._logged_at is None, now
            if is_first:
                return ("The database cannot be used. The worker keeps trying: %s (%s)",)
            seconds = round(now - self._began_at)
            return "The database has not been usable for %d seconds (%d failures): %s (%s)", seconds, self._failures

    def _should_log(self, now: float) -> bool:
        if self._logged_at is not None:
            return now - self._logged_at >= LOG_INTERVAL
        # After an outage a thread may find its old connection broken. Only repeated failures are another outage.
        is_new_outage = now - self._recovered_at >= LOG_INTERVAL
        return is_new_outage or now - self._began_at >= RECOVERY_SECONDS

    def _end_outage(self) -> tuple[Any, ...]:
        with self._lock:
            now = self._clock()
            if not self._failures or now - self._failed_at < RECOVERY_SECONDS:
                return ()
            failures, self._failures = self._failures, 0
            was_logged, self._logged_at = self._logged_at is not None, None
            if not was_logged:
                return ()
            self._recovered_at = now
            seconds = round(self._failed_at - self._began_at)
            return "The database can be used again. It failed for %d seconds (%d failures).", seconds, failures


OUTAGE_LOG = OutageLog()
"""The outage log of this process."""
