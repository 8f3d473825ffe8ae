"""What is planned for a simulation."""

import heapq
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import count
from typing import Any

Call = Callable[[], Any]


class Plan:
    """Calls with their time; those of one moment in the order in which they were planned."""

    def __init__(self) -> None:
        self._calls: list[tuple[datetime, int, Call]] = []
        self._number = count()

    def add(self, when: datetime, call: Call) -> None:
        heapq.heappush(self._calls, (when, next(self._number), call))

    @property
    def next_moments(self) -> Sequence[datetime]:
        """When the next call is planned; empty if there is none."""
        return [when for when, _, _ in self._calls[:1]]

    def make_calls(self, now: datetime) -> int:
        """Make those whose time has come, also those that they plan for this moment; returns how many."""
        made = 0
        while self._calls and self._calls[0][0] <= now:
            heapq.heappop(self._calls)[2]()
            made += 1
        return made
