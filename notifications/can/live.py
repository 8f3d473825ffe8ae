"""Run a live bridge: one thread reads the bus and processes the frames, another one sends.

So a database that is slow or away does not keep the bridge from reading.
"""

import threading
import time
from collections.abc import Callable, Iterable

from notifications.can.changes import Change
from notifications.can.pending_changes import PendingChanges

TAKE_SECONDS = 0.2
JOIN_SECONDS = 5.0


class ReadingThread(threading.Thread):
    """Puts changes into the queue. It is a daemon, because a driver that hangs must not keep the process alive."""

    def __init__(self, changes: Iterable[Change], pending: PendingChanges) -> None:
        super().__init__(name="klaxon-can", daemon=True)
        self.changes = changes
        self.pending = pending
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            for change in self.changes:
                self.pending.add(change)
        except BaseException as error:  # noqa: BLE001 - run_live raises it again
            self.error = error
        finally:
            self.pending.close()


class Every:
    """A function that calls another one at most once in so many seconds."""

    def __init__(self, seconds: float, function: Callable[[], object]) -> None:
        self._seconds = seconds
        self._function = function
        self._due_at = time.monotonic() + seconds

    def __call__(self) -> None:
        if time.monotonic() >= self._due_at:
            self._function()
            self._due_at = time.monotonic() + self._seconds


def run_live(
    changes: Iterable[Change],
    pending: PendingChanges,
    handle: Callable[[Change], object],
    keep_up: Callable[[], object],
    stopped: threading.Event,
    stop_seconds: float,
) -> None:
    """Read changes and handle them in this thread, until ``changes`` end.

    What is pending when ``stopped`` is set is handled too, for at most ``stop_seconds``. The rest stays in ``pending``.

    :param keep_up: is called after each change, and about five times a second while there are none.
    :raises BaseException: what reading has raised, after all changes before it were handled.
    """
    reading = ReadingThread(changes, pending)
    reading.start()
    ends_at = float("inf")
    while not pending.is_finished and time.monotonic() < ends_at:
        change = pending.take(TAKE_SECONDS)
        if change is not None:
            handle(change)
        keep_up()
        if stopped.is_set():
            ends_at = min(ends_at, time.monotonic() + stop_seconds)
    reading.join(JOIN_SECONDS)
    if reading.error is not None:
        raise reading.error
