"""The current time. All code of the package reads it here.

Workers on several machines must agree on what is due, so on PostgreSQL the time is that of the database server. SQLite
runs inside the process, so the clock of the machine gives the same time without a statement. Read the time once for
each loop or chunk and pass the value on.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from django.db import DEFAULT_DB_ALIAS
from django.utils import timezone

from notifications.storage.engine import get_engine

MAX_AGE_SECONDS = 1.0
"""How long a monotonic clock measures the time that has passed since the database server was asked."""

# By database: the time that its clock returned, and the monotonic time of the reading.
_readings: dict[str, tuple[datetime, float]] = {}
_override: Callable[[], datetime] | None = None


def now(using: str = DEFAULT_DB_ALIAS) -> datetime:
    """Return the current time, aware and in UTC."""
    engine = get_engine(using)
    if _override is not None or engine.server_time is None:
        return local_now()
    with engine.connection.cursor() as cursor:
        cursor.execute(f"SELECT {engine.server_time}")
        return cursor.fetchone()[0].astimezone(UTC)


def uses_server_time(using: str) -> bool:
    """Return whether the time is the database server's, so that a statement can use ``Engine.server_time``."""
    return _override is None and get_engine(using).server_time is not None


def cached_now(using: str = DEFAULT_DB_ALIAS) -> datetime:
    """Return the current time, reading the database server at most once a second.

    Between two readings a monotonic clock measures the time that has passed.
    """
    if not uses_server_time(using):
        return local_now()
    read, read_at = _readings.get(using, (None, 0.0))
    if read is None or time.monotonic() - read_at >= MAX_AGE_SECONDS:
        read, read_at = _readings[using] = now(using), time.monotonic()
    return read + timedelta(seconds=time.monotonic() - read_at)


class CachedClock:
    """The time for code that needs it often: read once a second and continued by a monotonic clock."""

    def __init__(self, using: str) -> None:
        self.using = using
        self._read: datetime | None = None
        self._read_at = 0.0

    def now(self) -> datetime:
        passed = time.monotonic() - self._read_at
        if _override is None and self._read is not None and passed < MAX_AGE_SECONDS:
            return self._read + timedelta(seconds=passed)
        self._read_at, self._read = time.monotonic(), now(self.using)
        return self._read

    def estimated_now(self) -> datetime:
        """Return the time without reading the database, which may be unreachable."""
        if _override is not None or self._read is None:
            return local_now()
        return self._read + timedelta(seconds=time.monotonic() - self._read_at)


def local_now() -> datetime:
    """Return the time of this machine, for use while the database cannot be reached."""
    return timezone.now() if _override is None else _override()


@contextmanager
def override(source: Callable[[], datetime]) -> Iterator[None]:
    """Take the time from ``source`` in every thread of this process until the block ends. A context manager."""
    global _override
    previous, _override = _override, source
    try:
        yield
    finally:
        _override = previous
