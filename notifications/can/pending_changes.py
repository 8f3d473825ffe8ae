"""The changes that were read from a bus and not sent yet: bounded, and the most severe first."""

import threading
from collections import OrderedDict, defaultdict, deque
from collections.abc import Hashable

from notifications.can.changes import Change
from notifications.can.tally import Tally

MAX_PENDING = 10_000


class PendingChanges:
    """A queue between the thread that reads a bus and the one that sends.

    Changes with the same key keep their order, so a severe change takes along those of its key that are before it. If
    the queue is full, the latest change of the least severe key is dropped and counted.

    :param tally: counts the changes that were dropped, as overflowed.
    :param limit: the maximum number of changes.
    """

    def __init__(self, tally: Tally, limit: int = MAX_PENDING) -> None:
        self.tally = tally
        self.limit = limit
        self._count = 0
        self._changes: dict[Hashable, deque[Change]] = {}
        # The keys by the severity of their worst change, the one that waits longest first.
        self._severities: dict[Hashable, int] = {}
        self._queues: defaultdict[int, OrderedDict[Hashable, None]] = defaultdict(OrderedDict)
        self._is_closed = False
        self._condition = threading.Condition()

    def __len__(self) -> int:
        return self._count

    def add(self, change: Change) -> None:
        """Add a change. This never waits for space."""
        with self._condition:
            self._changes.setdefault(change.key, deque()).append(change)
            self._count += 1
            if change.severity > self._severities.get(change.key, change.severity - 1):
                self._set_severity(change.key, change.severity)
            if self._count > self.limit:
                least = self._queues[min(self._queues)]
                self._remove(next(reversed(least)), is_latest=True)
                self.tally.overflowed += 1
            self._condition.notify()

    def close(self) -> None:
        """Declare that no change follows."""
        with self._condition:
            self._is_closed = True
            self._condition.notify()

    @property
    def is_finished(self) -> bool:
        """Whether the queue is closed and empty."""
        with self._condition:
            return self._is_closed and not self._count

    def take(self, seconds: float) -> Change | None:
        """Return the next change; None if there is none for so many seconds, or the queue is finished."""
        with self._condition:
            self._condition.wait_for(lambda: self._count or self._is_closed, seconds)
            if not self._count:
                return None
            worst = self._queues[max(self._queues)]
            return self._remove(next(iter(worst)), is_latest=False)

    def _remove(self, key: Hashable, is_latest: bool) -> Change:
        changes = self._changes[key]
        change = changes.pop() if is_latest else changes.popleft()
        self._count -= 1
        if not changes:
            del self._changes[key]
            self._leave_queue(key)
        elif change.severity == self._severities[key]:
            self._set_severity(key, max(one.severity for one in changes))
        return change

    def _set_severity(self, key: Hashable, severity: int) -> None:
        if self._severities.get(key) == severity:
            return
        if key in self._severities:
            self._leave_queue(key)
        self._severities[key] = severity
        self._queues[severity][key] = None

    def _leave_queue(self, key: Hashable) -> None:
        severity = self._severities.pop(key)
        del self._queues[severity][key]
        if not self._queues[severity]:
            del self._queues[severity]
