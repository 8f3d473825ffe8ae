"""The schedule of a simulation."""

import heapq
import itertools
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

Call = Callable[[], Any]


class Schedule:
    """Calls with their times. Calls at the same time are made in the order in which they were added."""

    def __init__(self) -> None:
        self._calls: list[tuple[datetime, int, Call]] = []
        self._numbers = itertools.count()

    def add(self, when: datetime, call: Call) -> None:
        heapq.heappush(self._calls, (when, next(self._numbers), call))

    @property
    def next_times(self) -> Sequence[datetime]:
        """The time of the next call; empty if there is none."""
        return [when for when, _, _ in self._calls[:1]]

    def make_calls(self, now: datetime) -> int:
        """Make the calls that are due, including those that they add for the same time, and return their number."""
        count = 0
        while self._calls and self._calls[0][0] <= now:
            heapq.heappop(self._calls)[2]()
            count += 1
        return count
