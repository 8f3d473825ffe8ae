"""A clock for tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from notifications.core import clock


class Travel:
    """A clock that stands still until :meth:`forward` or :meth:`to` moves it."""

    def __init__(self, start: datetime) -> None:
        self.to(start)

    def __call__(self) -> datetime:
        return self.time

    def forward(self, **amount: Any) -> datetime:
        """Move the clock forward. The arguments are those of :class:`datetime.timedelta`, such as ``minutes=5``."""
        self.time += timedelta(**amount)
        return self.time

    def to(self, time: datetime) -> datetime:
        if time.tzinfo is None:
            raise ValueError("Pass an aware datetime, such as datetime(2026, 3, 29, tzinfo=UTC).")
        self.time = time
        return self.time


@contextmanager
def travelling(start: datetime | None = None) -> Iterator[Travel]:
    """Let Klaxon use the yielded clock within the block, in every thread of this process."""
    travel = Travel(start or datetime.now(UTC))
    with clock.override(travel):
        yield travel
