"""How a waiting worker learns of a commit: LISTEN/NOTIFY on PostgreSQL, a cheap look at the file on SQLite.

Both are only shortcuts. A worker looks for itself every ``IDLE_SECONDS``, so a lost wake-up costs just that.
"""

import time
from collections.abc import Callable
from typing import Any

from django.db import connections, router

from notifications.connections import unpooled
from notifications.models import Delivery

CHANNEL = "klaxon"
SQLITE_LOOKS_EVERY = 0.05


def announce(*, partition: str, **kwargs: Any) -> None:
    """Receiver of ``notifications_queued``: tell every listening worker."""
    connection = connections[router.db_for_write(Delivery)]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, partition])


class Waker:
    """Waits on a connection of its own, so that it never sits in the middle of a worker's transaction."""

    def __init__(self) -> None:
        self.connection = unpooled(router.db_for_write(Delivery))
        self._seen: Any = None

    def wait(self, seconds: float, stop: Callable[[], bool]) -> None:
        """Return when something was committed, ``stop`` says so, or the seconds have passed."""
        watch = {"postgresql": self._listen, "sqlite": self._look}.get(self.connection.vendor, self._sleep)
        deadline = time.monotonic() + seconds
        while not stop() and (left := deadline - time.monotonic()) > 0:
            if watch(min(left, 0.5)):
                return

    def close(self) -> None:
        self.connection.close()

    def _listen(self, seconds: float) -> bool:
        if self.connection.connection is None:
            with self.connection.cursor() as cursor:
                cursor.execute(f"LISTEN {CHANNEL}")
            return True  # whatever was queued before we listened
        driver: Any = self.connection.connection
        if not callable(driver.notifies):
            return self._sleep(seconds)  # psycopg2 cannot wait
        return bool(list(driver.notifies(timeout=seconds, stop_after=1)))

    def _look(self, seconds: float) -> bool:
        """``PRAGMA data_version`` changes when another connection has committed."""
        time.sleep(min(seconds, SQLITE_LOOKS_EVERY))
        with self.connection.cursor() as cursor:
            version = cursor.execute("PRAGMA data_version").fetchone()
        changed, self._seen = version != self._seen, version
        return changed

    def _sleep(self, seconds: float) -> bool:
        time.sleep(seconds)
        return False
