"""The wake-up of an idle worker after a commit: LISTEN/NOTIFY on PostgreSQL, cheap polling on SQLite.

Both only save time. A worker polls the outbox every ``IDLE_SECONDS``, so a lost wake-up costs at most that.

Behind a pooler in transaction mode, such as PgBouncer, LISTEN succeeds but no notification arrives, because the pooler
gives the server connection to another client immediately. So a worker first sends itself a notification, and polls
until that arrives.
"""

import logging
import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Protocol
from uuid import uuid4

from django.db import connections, router

from notifications.core.connections import copy_without_pool
from notifications.delivering.on_commit import NOTIFY_CHANNEL
from notifications.models import Delivery

logger = logging.getLogger("notifications.worker")

COMMIT_POLL_INTERVAL = 0.05
PROOF_TIMEOUT = 2.0
PROOF_INTERVAL = 60.0
STOP_CHECK_INTERVAL = 0.5
"""Seconds after which a wait is interrupted to check for a stop."""


class Waker:
    """Waits for commits on its own connections, so that it never waits inside a worker's transaction."""

    def __init__(self) -> None:
        using = router.db_for_write(Delivery)
        self._watcher = open_watcher(using)

    def wait(self, seconds: float, should_stop: Callable[[], bool]) -> None:
        """Return after a commit, if ``should_stop()`` is true, or after the seconds have passed."""
        deadline = time.monotonic() + seconds
        while not should_stop() and (left := deadline - time.monotonic()) > 0:
            if self._watcher.wait(min(left, STOP_CHECK_INTERVAL)):
                return

    def close(self) -> None:
        self._watcher.close()


class CommitWatcher(Protocol):
    def wait(self, seconds: float) -> bool:
        """Wait at most this long; return whether something was committed."""

    def close(self) -> None: ...


def open_watcher(using: str) -> CommitWatcher:
    connection: Any = connections[using]
    if connection.vendor == "sqlite":
        return SQLitePoller(using)
    if connection.vendor == "postgresql":
        # psycopg2 has no way to wait for a notification.
        return PostgresListener(using) if connection.Database.__name__ == "psycopg" else PostgresPoller(using)
    return Sleeper(using)


class Sleeper:
    """For databases that give no sign of a commit."""

    def __init__(self, using: str) -> None:
        pass

    def wait(self, seconds: float) -> bool:
        time.sleep(seconds)
        return False

    def close(self) -> None:
        pass


class Poller:
    """Runs a statement whose result changes when another connection has committed."""

    statement: str

    def __init__(self, using: str) -> None:
        self._connection = copy_without_pool(using)
        self._last_result: Any = None

    def wait(self, seconds: float) -> bool:
        time.sleep(min(seconds, COMMIT_POLL_INTERVAL))
        return self.has_changed()

    def has_changed(self) -> bool:
        result = self.run(self.statement)
        changed, self._last_result = result != self._last_result, result
        return changed

    def run(self, statement: str, *params: Any) -> Any:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, params or None)
            return cursor.fetchone()

    def close(self) -> None:
        self._connection.close()


class SQLitePoller(Poller):
    """Polls SQLite's counter of the commits of other connections."""

    statement = "PRAGMA data_version"


class PostgresPoller(Poller):
    """Polls PostgreSQL's visible transactions. Commits of other tables change the result too. It takes no lock."""

    statement = "SELECT pg_current_snapshot()::text"


class PostgresListener:
    """Listens, after a notification of its own has proved that notifications arrive on this connection. Polls before.

    The proof has its own channel. If the worker listened to ``klaxon`` on the server connection of a pooler, other
    clients of the pooler would get its notifications, and psycopg keeps notifications that nobody asked for.

    :param channel: the channel to listen to.
    """

    def __init__(self, using: str, channel: str = NOTIFY_CHANNEL) -> None:
        self._channel = channel
        self._connection = copy_without_pool(using)
        self._poller = PostgresPoller(using)
        self._proof_channel = f"{NOTIFY_CHANNEL}_{uuid4().hex}"
        self._proof = ""
        self._prove_at = self._give_up_at = time.monotonic()
        self._is_proven = False

    @property
    def is_proven(self) -> bool:
        """Whether a notification has arrived on this connection."""
        return self._is_proven

    def wait(self, seconds: float) -> bool:
        payloads = self.receive(seconds)
        return payloads is None or bool(payloads)

    def receive(self, seconds: float) -> list[str] | None:
        """Wait at most this long; return the payloads of the notifications that have arrived.

        None means that something was committed while notifications did not arrive yet.
        """
        if self._is_proven:
            return [found.payload for found in self._notifications(seconds)]
        if time.monotonic() >= self._prove_at:
            self._request_proof()
        has_changed = self._check_proof(min(seconds, COMMIT_POLL_INTERVAL)) or self._poller.has_changed()
        return None if has_changed else []

    def close(self) -> None:
        self._connection.close()
        self._poller.close()

    def _request_proof(self) -> None:
        now = time.monotonic()
        self._prove_at, self._give_up_at = now + PROOF_INTERVAL, now + PROOF_TIMEOUT
        self._proof = uuid4().hex
        self._listen(self._proof_channel)
        # On another connection: a pooler could run two statements of one connection on the same server connection.
        self._poller.run("SELECT pg_notify(%s, %s)", self._proof_channel, self._proof)

    def _check_proof(self, seconds: float) -> bool:
        """Wait for the proof; return whether notifications arrive from now on."""
        if self._connection.connection is None:
            time.sleep(seconds)
            return False
        if any(found.payload == self._proof for found in self._notifications(seconds)):
            self._start_listening()
        elif time.monotonic() >= self._give_up_at:
            self._connection.close()
            warn_once()
        return self._is_proven

    def _start_listening(self) -> None:
        """Replace polling. The worker wakes after this call, so it finds what was queued before."""
        with self._connection.cursor() as cursor:
            cursor.execute(f"UNLISTEN {self._proof_channel}")
        self._listen(self._channel)
        self._is_proven = True
        self._poller.close()

    def _listen(self, channel: str) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(f"LISTEN {channel}")

    def _notifications(self, seconds: float) -> Iterator[Any]:
        driver: Any = self._connection.connection
        with self._connection.wrap_database_errors:
            yield from driver.notifies(timeout=seconds, stop_after=1)


def can_listen(using: str) -> bool:
    """Return whether notifications of PostgreSQL arrive on a connection to this database. It takes up to two seconds.

    The driver must be psycopg 3.
    """
    listener = PostgresListener(using)
    try:
        deadline = time.monotonic() + PROOF_TIMEOUT
        while not listener.is_proven and time.monotonic() < deadline:
            listener.receive(COMMIT_POLL_INTERVAL)
        return listener.is_proven
    finally:
        listener.close()


@cache
def warn_once() -> None:
    """Log a warning on the first call in a process."""
    logger.warning(
        "PostgreSQL's notifications do not reach this worker, for example behind a pooler in transaction mode such as"
        " PgBouncer. The worker polls every %s seconds instead. Give it an entry of DATABASES that connects to"
        " PostgreSQL directly or through a pooler in session mode. If it must stay behind this pooler, set"
        " DISABLE_SERVER_SIDE_CURSORS to True in that entry.",
        COMMIT_POLL_INTERVAL,
    )
