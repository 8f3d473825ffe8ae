"""Database connections and the host's connection pools.

With ``DATABASES[alias]["OPTIONS"]["pool"]`` (Django 5.1, psycopg 3) all threads of a process share at most ``max_size``
connections. A thread that keeps one for as long as the process lives takes it from all others, so such threads use
connections of their own, outside the pool; and a worker starts no more threads than the pool can serve.

Here is also what the errors of a connection mean.
"""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

from django.apps import apps
from django.db import Error, InterfaceError, OperationalError, connections, router, transaction

logger = logging.getLogger("notifications.worker")

DEFAULT_POOL_SIZE = 4
"""psycopg_pool's default for ``min_size``, hence what ``"pool": True`` means. ``max_size`` defaults to ``min_size``."""

# The file cannot be opened, another process has locked it for too long, the disk does not answer.
SQLITE_UNREACHABLE = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_IOERR}
# Connections lost or refused, the server going down or coming up, no connection to be had.
POSTGRES_UNREACHABLE = ("08", "57P", "53300")
# No memory or disk left, a lock that others hold for too long.
POSTGRES_BUSY = ("53", "55P03")
# Deadlocks and serialization failures: the database works, and two transactions stood in each other's way.
POSTGRES_CONFLICT = ("40",)
# What a worker meets besides while its database has trouble: a full disk, a statement that took too long.
SQLITE_ALSO_OUTAGE = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_LOCKED}
POSTGRES_ALSO_OUTAGE = ("57014",)
# No such table, column or schema.
POSTGRES_UNDEFINED = ("42P01", "42703", "3F000")


def is_unreachable(error: Error, vendor: str) -> bool:
    """Whether it says that the database cannot be reached, rather than that it refuses something."""
    cause = error.__cause__
    if vendor == "sqlite":
        return _sqlite_code(cause) in SQLITE_UNREACHABLE
    state = _sqlstate(cause)
    return vendor == "postgresql" and (state is None or state.startswith(POSTGRES_UNREACHABLE))


def is_temporary_failure(error: Error) -> bool:
    """Whether it says that a database, whichever it was, could not do anything at the time, or had to wait too long.

    Everything else, such as a table that is not there, is a fault of the statement, and comes back with it.
    """
    cause = error.__cause__
    if isinstance(cause, sqlite3.Error):
        return _sqlite_code(cause) in {*SQLITE_UNREACHABLE, sqlite3.SQLITE_LOCKED}
    is_postgres = hasattr(cause, "sqlstate") or hasattr(cause, "pgcode")
    if not (is_postgres and isinstance(error, (OperationalError, InterfaceError))):
        return False
    state = _sqlstate(cause)
    return state is None or state.startswith(POSTGRES_UNREACHABLE + POSTGRES_BUSY + POSTGRES_CONFLICT)


def is_outage(error: BaseException) -> bool:
    """Whether it, or an error that caused it, says that a database could not be used at the time."""
    cause: BaseException | None = error
    while cause is not None:
        if _sqlite_code(cause) in SQLITE_UNREACHABLE | SQLITE_ALSO_OUTAGE:
            return True
        if isinstance(cause, Error):
            state = _sqlstate(cause.__cause__) or ""
            if state in POSTGRES_ALSO_OUTAGE or (
                is_temporary_failure(cause) and not state.startswith(POSTGRES_CONFLICT)
            ):
                return True
        cause = cause.__cause__
    return False


@contextmanager
def suggest_migrate() -> Iterator[None]:
    """Add a note to an error that says that a table or a column does not exist: what to run."""
    try:
        yield
    except Error as error:
        if is_missing_migration(error):
            error.add_note("If a table of django-klaxon is missing or not up to date, run `manage.py migrate`.")
        raise


def is_missing_migration(error: Error) -> bool:
    """Whether it says that a table or a column does not exist."""
    cause = error.__cause__
    if isinstance(cause, sqlite3.Error):
        return str(cause).startswith(("no such table", "no such column"))
    return _sqlstate(cause) in POSTGRES_UNDEFINED


def _sqlite_code(cause: BaseException | None) -> int:
    code: int = getattr(cause, "sqlite_errorcode", 0)
    return code & 0xFF


def _sqlstate(cause: BaseException | None) -> str | None:
    return getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)


def get_pool_size(using: str) -> int | None:
    """The most connections that the pool of this database holds; None if the database has no pool."""
    pool = connections.settings[using].get("OPTIONS", {}).get("pool")
    if not pool or connections[using].vendor != "postgresql":
        return None
    given = pool if isinstance(pool, dict) else {}
    return given.get("max_size") or given.get("min_size", DEFAULT_POOL_SIZE)


def get_pool_sizes() -> dict[str, int]:
    """The sizes of all pools, by alias."""
    return {alias: size for alias in connections if (size := get_pool_size(alias)) is not None}


def copy_without_pool(using: str) -> Any:
    """A new connection to this database that is not taken from its pool. Closing it closes the socket."""
    connection = connections[using].copy()
    connection.settings_dict["OPTIONS"].pop("pool", None)
    return connection


@contextmanager
def use_own_connections() -> Iterator[None]:
    """In this thread, use connections outside the pools until the block ends. Each opens when it is first used.

    Does nothing where there is no pool. A connection inside a transaction stays as it is, because what the transaction
    has written could not be seen from another one.
    """
    replaced = {alias: connections[alias] for alias in get_pool_sizes() if not connections[alias].in_atomic_block}
    for alias, pooled in replaced.items():
        pooled.close()
        connections[alias] = copy_without_pool(alias)
    try:
        yield
    finally:
        for alias, pooled in replaced.items():
            connections[alias].close()
            connections[alias] = pooled


def return_connections_to_pools() -> None:
    """Return the connections of this thread to their pools before it waits. Does nothing where there is no pool."""
    for alias in get_pool_sizes():
        if not connections[alias].in_atomic_block:
            connections[alias].close()


def limit_threads_to_pool(wanted: int) -> int:
    """How many worker threads to start: each needs a connection, so no more than the pool of Klaxon's database has.

    Pools of other databases do not count: a thread takes a connection there only if the host's own code asks for it.
    """
    using = router.db_for_write(apps.get_model("klaxon", "Delivery"))
    size = get_pool_size(using)
    if size is None or size >= wanted:
        return wanted
    logger.warning(
        "This worker starts %s threads instead of %s, because each needs a connection and the pool of the database %r"
        " has no more. Raise DATABASES[%r]['OPTIONS']['pool']['max_size'], or lower NOTIFICATIONS['WORKERS'].",
        size,
        wanted,
        using,
        using,
    )
    return size


@contextmanager
def limit_lock_waits(using: str, seconds: float) -> Iterator[None]:
    """Let statements of the block fail after so many seconds of waiting for locks of others.

    On PostgreSQL the block is a transaction: a setting of the session would outlive it behind a pooler.

    :raises django.db.Error: if the database cannot be reached.
    """
    milliseconds = max(1, round(seconds * 1000))
    connection = connections[using]
    if connection.vendor == "postgresql":
        with transaction.atomic(using=using), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [str(milliseconds)])
            yield
        return
    if connection.vendor != "sqlite":
        yield
        return
    with connection.cursor() as cursor:
        [before] = cursor.execute("PRAGMA busy_timeout").fetchone()
        cursor.execute(f"PRAGMA busy_timeout = {milliseconds}")
        try:
            yield
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {before}")


_interruptible: WeakSet[Any] = WeakSet()


def allow_interrupts(using: str) -> None:
    """Let :func:`interrupt_statements` break off what this thread's connection is waiting for."""
    _interruptible.add(connections[using])


def interrupt_statements() -> None:
    """Break off the statements that other threads of this process are waiting for; they fail with OperationalError.

    PostgreSQL only: there a lock on a table is waited for without an end. SQLite has its own time-out.
    """
    for connection in list(_interruptible):
        if connection.vendor == "postgresql" and connection.connection is not None:
            connection.connection.cancel()
