"""Report faults that go on again and again, as rules with ``repeat_every`` want it. The time is that of the frames."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from heapq import heappop, heappush

from notifications.can.changes import Change
from notifications.can.faults import FaultChange


@dataclass(slots=True)
class Reminder:
    """The last change of a fault that stands, and when it is reported again."""

    change: FaultChange
    every: float
    due_at: float


class FaultReminders:
    """Follows the changes of faults.

    :param find_interval: returns the seconds after which a fault is reported again; None for never.
    """

    def __init__(self, find_interval: Callable[[FaultChange], float | None]) -> None:
        self._find_interval = find_interval
        self._reminders: dict[str, Reminder] = {}
        # An entry whose time differs from the reminder's is out of date.
        self._due: list[tuple[float, str]] = []
        self.due_at = float("inf")
        """When the next fault is due, or earlier."""

    def note(self, changes: Iterable[Change], now: float) -> None:
        """Note changes. The time of a fault begins anew with each of them."""
        for change in changes:
            if not isinstance(change, FaultChange):
                continue
            name = change.correlation_id
            every = None if change.kind == "cleared" else self._find_interval(change)
            if every is None:
                self._reminders.pop(name, None)
            elif change.kind == "moved" and name in self._reminders:
                self._reminders[name].change = change
            else:
                self._reminders[name] = Reminder(change, every, now + every)
                self._push(name)

    def take_due(self, now: float, is_lost: Callable[[str], bool]) -> list[FaultChange]:
        """Return the faults that are due, as ``repeated``.

        :param is_lost: whether the connection to a bus was lost, so that nobody knows whether its faults go on.
        """
        repeated = []
        while self._due and self._due[0][0] <= now:
            due_at, name = heappop(self._due)
            reminder = self._reminders.get(name)
            if reminder is None or reminder.due_at != due_at:
                continue
            if not is_lost(reminder.change.bus):
                repeated.append(replace(reminder.change, kind="repeated", at=datetime.fromtimestamp(now, UTC)))
            reminder.due_at = now + reminder.every
            self._push(name)
        self.due_at = self._due[0][0] if self._due else float("inf")
        return repeated

    def rebase(self, now: float) -> None:
        """Let all times begin anew, because the clock was set."""
        self._due.clear()
        self.due_at = float("inf")
        for name, reminder in self._reminders.items():
            reminder.due_at = now + reminder.every
            self._push(name)

    def _push(self, name: str) -> None:
        due_at = self._reminders[name].due_at
        heappush(self._due, (due_at, name))
        self.due_at = min(self.due_at, due_at)
