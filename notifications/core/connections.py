"""Database connections and the connection pools of the host.

With ``DATABASES[alias]["OPTIONS"]["pool"]`` (Django 5.1, psycopg 3) all threads of a process share at most ``max_size``
connections. A thread that keeps a connection while the process runs takes it from all others. So such threads use
connections of their own, outside the pool, and a worker starts at most as many threads as the pool has connections.
"""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from weakref import WeakSet

from django.apps import apps
from django.db import DatabaseError, InterfaceError, connections, router

logger = logging.getLogger("notifications.worker")

DEFAULT_POOL_SIZE = 4
"""psycopg_pool's default for ``min_size``, used for ``"pool": True``. ``max_size`` defaults to ``min_size``."""


def get_pool_size(using: str) -> int | None:
    """Return the maximum number of connections in the pool of a database, or None if it has no pool."""
    pool = connections.settings[using].get("OPTIONS", {}).get("pool")
    if not pool or connections[using].vendor != "postgresql":
        return None
    given = pool if isinstance(pool, dict) else {}
    return given.get("max_size") or given.get("min_size", DEFAULT_POOL_SIZE)


def get_pool_sizes() -> dict[str, int]:
    """Return the sizes of all pools, by alias."""
    return {alias: size for alias in connections if (size := get_pool_size(alias)) is not None}


def copy_without_pool(using: str) -> Any:
    """Return a new connection to this database outside of its pool. Closing it closes the socket."""
    connection = connections[using].copy()
    connection.settings_dict["OPTIONS"].pop("pool", None)
    return connection


@contextmanager
def use_impatient_connection(using: str, seconds: float) -> Iterator[Any]:
    """Use a new connection outside of the pool in this thread until the block ends. A context manager.

    It opens when it is first used, and fails after about ``seconds`` if it cannot open. A server that has accepted it
    can still be silent for ever: let another thread call :func:`break_connection` then.
    """
    before, connection = connections[using], copy_without_pool(using)
    options = connection.settings_dict["OPTIONS"]
    if connection.vendor == "postgresql":
        # libpq counts whole seconds, at least two.
        options["connect_timeout"] = max(2, round(seconds))
    else:
        options["timeout"] = seconds
    connections[using] = connection
    try:
        yield connection
    finally:
        connections[using] = before
        with suppress(DatabaseError, InterfaceError):
            connection.close()


def break_connection(connection: Any) -> None:
    """Cut the connection of another thread to its server, so that the statement that waits there fails.

    It does nothing before the connection is open, and for SQLite, which has no server and its own timeout.
    """
    if connection.vendor != "postgresql" or connection.connection is None:
        return
    # The driver has closed it meanwhile, or the other side has.
    with suppress(OSError, DatabaseError, connection.Database.Error):
        descriptor = os.dup(connection.connection.fileno())
        with socket.socket(fileno=descriptor) as copy:
            copy.shutdown(socket.SHUT_RDWR)


@contextmanager
def use_own_connections() -> Iterator[None]:
    """Use connections outside of the pools in this thread until the block ends. A context manager.

    Each connection opens when it is first used. Databases without a pool are not affected. A connection inside a
    transaction is kept, because another one could not see what the transaction has written.
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
    """Return the connections of this thread to their pools before it waits.

    Databases without a pool are not affected.
    """
    for alias in get_pool_sizes():
        if not connections[alias].in_atomic_block:
            connections[alias].close()


def close_databases() -> None:
    """Close all connections of this thread and all pools before a fork.

    Two processes cannot share a connection, and a fork ends the threads of a pool.
    """
    connection: Any
    for connection in connections.all(initialized_only=True):
        connection.close()
        if connection.vendor == "postgresql":
            connection.close_pool()


def limit_threads_to_pool(wanted: int) -> int:
    """Return the number of worker threads to start: at most the size of the pool of Klaxon's database.

    Each thread needs a connection. The pools of other databases do not count, because a thread uses a connection to
    them only if code of the host needs one. Log a warning if the number is less than ``wanted``.
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


_interruptible: WeakSet[Any] = WeakSet()


def allow_interrupts(using: str) -> None:
    """Let :func:`interrupt_statements` cancel the statements of this thread's connection."""
    _interruptible.add(connections[using])


def interrupt_statements() -> None:
    """Cancel the running statements of the threads that allow it; the statements raise ``OperationalError``.

    This affects only PostgreSQL, where a statement waits for a table lock without limit. SQLite has its own timeout.
    """
    for connection in list(_interruptible):
        if connection.vendor == "postgresql" and connection.connection is not None:
            connection.connection.cancel()
