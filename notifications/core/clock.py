"""The one source of time.

Workers on several machines must agree on what is due, so on PostgreSQL the time is the database server's. SQLite runs
inside the process, where the machine's own clock is the same thing without a statement. Read it once for each loop
or chunk and hand the value on; nothing else in the package asks what time it is.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from django.db import DEFAULT_DB_ALIAS, connections
from django.utils import timezone

# Not now(): that is the start of the transaction, which may be hours ago.
SERVER_TIME_SQL = "clock_timestamp()"

# By database, what its clock said and when.
_readings: dict[str, tuple[datetime, float]] = {}
_override: Callable[[], datetime] | None = None


def now(using: str = DEFAULT_DB_ALIAS) -> datetime:
    """The current time, aware and in UTC."""
    if not uses_server_time(using):
        return local_now()
    with connections[using].cursor() as cursor:
        cursor.execute(f"SELECT {SERVER_TIME_SQL}")
        return cursor.fetchone()[0].astimezone(UTC)


def uses_server_time(using: str) -> bool:
    """Whether the time is the database server's, so that a statement may take it there as ``SERVERS``."""
    return _override is None and connections[using].vendor == "postgresql"


def cached_now(using: str = DEFAULT_DB_ALIAS) -> datetime:
    """The same, but of the server it is asked once a second at most; in between a clock that never jumps tells it."""
    if not uses_server_time(using):
        return local_now()
    read, read_at = _readings.get(using, (None, 0.0))
    if read is None or time.monotonic() - read_at >= 1:
        read, read_at = _readings[using] = now(using), time.monotonic()
    return read + timedelta(seconds=time.monotonic() - read_at)


class CachedClock:
    """The same time for who asks often: read once a second, and in between told by a clock that never jumps."""

    def __init__(self, using: str) -> None:
        self.using = using
        self._read: datetime | None = None
        self._read_at = 0.0

    def now(self) -> datetime:
        passed = time.monotonic() - self._read_at
        if _override is None and self._read is not None and passed < 1:
            return self._read + timedelta(seconds=passed)
        self._read_at, self._read = time.monotonic(), now(self.using)
        return self._read

    def estimated_now(self) -> datetime:
        """The time without asking the database, which may be away at this moment."""
        if _override is not None or self._read is None:
            return local_now()
        return self._read + timedelta(seconds=time.monotonic() - self._read_at)


def local_now() -> datetime:
    """This machine's own time: for what happens while the database cannot be asked."""
    return timezone.now() if _override is None else _override()


@contextmanager
def override(source: Callable[[], datetime]) -> Iterator[None]:
    """Take the time from ``source`` instead, in every thread of this process, until the block ends."""
    global _override
    previous, _override = _override, source
    try:
        yield
    finally:
        _override = previous
