"""How a waiting worker learns of a commit: LISTEN/NOTIFY on PostgreSQL, a cheap look at the file on SQLite.

Both are only shortcuts. A worker looks for itself every ``IDLE_SECONDS``, so a lost wake-up costs just that.

Behind a pooler in transaction mode, such as PgBouncer, LISTEN succeeds and nothing ever arrives: the server connection
on which it was said belongs to somebody else right after. So a worker first sends itself a notification, and polls
until that has arrived.
"""

import logging
import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Protocol
from uuid import uuid4

from django.db import connections, router

from notifications.core.connections import copy_without_pool
from notifications.models import Delivery

logger = logging.getLogger("notifications.worker")

CHANNEL = "klaxon"
POLLS_EVERY = 0.05
PROOF_WITHIN = 2.0
PROVE_AGAIN_AFTER = 60.0
LONGEST_WATCH = 0.5
"""After so many seconds it is asked again whether to stop."""


def announce(*, partition: str, **kwargs: Any) -> None:
    """Receiver of ``notifications_queued``: tell every listening worker."""
    connection = connections[router.db_for_write(Delivery)]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, partition])


class Waker:
    """Waits on connections of its own, so that it never sits in the middle of a worker's transaction."""

    def __init__(self) -> None:
        using = router.db_for_write(Delivery)
        self._watch = watch_for(using)

    def wait(self, seconds: float, stop: Callable[[], bool]) -> None:
        """Return when something was committed, ``stop`` says so, or the seconds have passed."""
        deadline = time.monotonic() + seconds
        while not stop() and (left := deadline - time.monotonic()) > 0:
            if self._watch.wait(min(left, LONGEST_WATCH)):
                return

    def close(self) -> None:
        self._watch.close()


class Watch(Protocol):
    def wait(self, seconds: float) -> bool:
        """Wait for so long at most; whether something was committed."""

    def close(self) -> None: ...


def watch_for(using: str) -> Watch:
    connection: Any = connections[using]
    if connection.vendor == "sqlite":
        return Looking(using)
    if connection.vendor == "postgresql":
        # psycopg2 has no way to wait for a notification.
        return Listening(using) if connection.Database.__name__ == "psycopg" else Snapshots(using)
    return Sleeping(using)


class Sleeping:
    """For databases that tell nothing."""

    def __init__(self, using: str) -> None:
        pass

    def wait(self, seconds: float) -> bool:
        time.sleep(seconds)
        return False

    def close(self) -> None:
        pass


class Polling:
    """Runs a statement whose answer changes when another connection has committed."""

    statement: str

    def __init__(self, using: str) -> None:
        self._connection = copy_without_pool(using)
        self._seen: Any = None

    def wait(self, seconds: float) -> bool:
        time.sleep(min(seconds, POLLS_EVERY))
        return self.has_changed()

    def has_changed(self) -> bool:
        now = self.run(self.statement)
        changed, self._seen = now != self._seen, now
        return changed

    def run(self, statement: str, *params: Any) -> Any:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, params or None)
            return cursor.fetchone()

    def close(self) -> None:
        self._connection.close()


class Looking(Polling):
    """SQLite's counter of the commits of other connections."""

    statement = "PRAGMA data_version"


class Snapshots(Polling):
    """PostgreSQL's visible transactions. The answer also changes with the commits of other tables; it costs no lock."""

    statement = "SELECT pg_current_snapshot()::text"


class Listening:
    """LISTEN, once a notification of our own has shown that they arrive on this connection. Until then, polling.

    The proof has a channel of its own. What was said about ``klaxon`` on a pooler's server connection would reach other
    clients of the pooler, and psycopg keeps what it has not asked for.
    """

    def __init__(self, using: str) -> None:
        self._ear = copy_without_pool(using)
        self._polling = Snapshots(using)
        self._channel = f"{CHANNEL}_{uuid4().hex}"
        self._proof = ""
        self._prove_at = self._give_up_at = time.monotonic()
        self._is_proven = False

    def wait(self, seconds: float) -> bool:
        if self._is_proven:
            return bool(list(self._notifications(seconds)))
        if time.monotonic() >= self._prove_at:
            self._ask_for_a_proof()
        return self._prove(min(seconds, POLLS_EVERY)) or self._polling.has_changed()

    def close(self) -> None:
        self._ear.close()
        self._polling.close()

    def _ask_for_a_proof(self) -> None:
        now = time.monotonic()
        self._prove_at, self._give_up_at = now + PROVE_AGAIN_AFTER, now + PROOF_WITHIN
        self._proof = uuid4().hex
        self._listen(self._channel)
        # From another connection: a pooler could give both statements on this one to the same server connection.
        self._polling.run("SELECT pg_notify(%s, %s)", self._channel, self._proof)

    def _prove(self, seconds: float) -> bool:
        """Look for the proof; whether notifications arrive from now on."""
        if self._ear.connection is None:
            time.sleep(seconds)
            return False
        if any(found.payload == self._proof for found in self._notifications(seconds)):
            self._begin()
        elif time.monotonic() >= self._give_up_at:
            self._ear.close()
            warn_once()
        return self._is_proven

    def _begin(self) -> None:
        """What was queued before this is found by the worker that now wakes."""
        with self._ear.cursor() as cursor:
            cursor.execute(f"UNLISTEN {self._channel}")
        self._listen(CHANNEL)
        self._is_proven = True
        self._polling.close()

    def _listen(self, channel: str) -> None:
        with self._ear.cursor() as cursor:
            cursor.execute(f"LISTEN {channel}")

    def _notifications(self, seconds: float) -> Iterator[Any]:
        driver: Any = self._ear.connection
        with self._ear.wrap_database_errors:
            yield from driver.notifies(timeout=seconds, stop_after=1)


@cache
def warn_once() -> None:
    """Only the first call in a process logs."""
    logger.warning(
        "PostgreSQL's notifications do not reach this worker, as behind a pooler in transaction mode such as PgBouncer."
        " It polls every %s seconds instead. Give the worker an entry of DATABASES that connects to PostgreSQL"
        " directly, or through a pooler in session mode. If it must stay behind this one, set"
        " DISABLE_SERVER_SIDE_CURSORS to True in that entry.",
        POLLS_EVERY,
    )
