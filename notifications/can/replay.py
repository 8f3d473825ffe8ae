"""Read the frames of a recording at the speed that is wanted."""

import threading
import time
from collections.abc import Iterable, Iterator

from notifications.can.frame import Frame

MAX_PAUSE_SECONDS = 3600.0
"""A longer time between two frames means that the clock was set or the file contains several recordings."""


def read_until(frames: Iterable[Frame], stopped: threading.Event) -> Iterator[Frame]:
    """Yield frames as fast as possible, until ``stopped`` is set."""
    is_stopped = stopped.is_set
    for frame in frames:
        if is_stopped():
            return
        yield frame


def slow_down(frames: Iterable[Frame], speed: float, stopped: threading.Event) -> Iterator[Frame]:
    """Yield each frame when its time has come, until ``stopped`` is set.

    :param speed: 1 for the speed at which the frames were recorded, 2 for twice as fast.
    """
    before: float | None = None
    due_at = time.monotonic()
    for frame in frames:
        if before is not None:
            pause = frame.timestamp - before
            due_at += pause / speed if 0 < pause <= MAX_PAUSE_SECONDS else 0.0
        before = frame.timestamp
        if stopped.wait(max(due_at - time.monotonic(), 0.0)):
            return
        yield frame
