"""A clock that runs faster for a while, so that an outage of a day is over in a minute.

Only the engine's clock is warped, by ``notifications.core.clock.override``: what it reads as the time, and writes.
Pauses that a thread makes are real. All processes that are forked inside the block read the same time, for it is kept
in memory that they share.
"""

import mmap
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import NamedTuple

from notifications.core import clock

LAYOUT = struct.Struct("3d")


class Turn(NamedTuple):
    """From a real ``moment`` (a Unix time) on, when the warped clock showed ``seconds``, it runs at this speed."""

    moment: float
    seconds: float
    speed: float

    def at(self, moment: float) -> float:
        return self.seconds + (moment - self.moment) * self.speed


class Warp:
    """It shows seconds since it was made. Only its maker may turn it."""

    def __init__(self, speed: float) -> None:
        self.began = time.time()
        self.turns = [Turn(self.began, 0.0, speed)]
        self._memory = mmap.mmap(-1, 1 + 2 * LAYOUT.size)
        self._tell()

    def turn(self, speed: float) -> None:
        """From now on it runs at another speed."""
        moment = time.time()
        self.turns.append(Turn(moment, self.turns[-1].at(moment), speed))
        self._tell()

    def _tell(self) -> None:
        # Into the place that nobody reads, which then becomes the other one: no reader sees half of it.
        slot = len(self.turns) % 2
        LAYOUT.pack_into(self._memory, 1 + slot * LAYOUT.size, *self.turns[-1])
        self._memory[0] = slot

    @property
    def seconds(self) -> float:
        while True:
            slot = self._memory[0]
            latest, moment = Turn(*LAYOUT.unpack_from(self._memory, 1 + slot * LAYOUT.size)), time.time()
            # Turned meanwhile? Then the moment may be one of the next turn, and the time far in the future.
            if slot == self._memory[0]:
                return latest.at(moment)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.began + self.seconds, UTC)

    def at(self, moment: float) -> float:
        """What it showed at a real moment."""
        return next(turn for turn in reversed(self.turns) if turn.moment <= moment or turn is self.turns[0]).at(moment)

    def sleep_until(self, seconds: float) -> None:
        while (left := seconds - self.seconds) > 0:
            time.sleep(min(0.1, left / self.turns[-1].speed))


@contextmanager
def warped(speed: float) -> Iterator[Warp]:
    """Inside, the engine's clock is a warped one."""
    warp = Warp(speed)
    with clock.override(warp.now):
        yield warp
