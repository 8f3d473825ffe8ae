"""Databases: which one statements use, and what its errors mean.

A *partition* is a database or schema that contains clusters. An ordinary site has one. Every wake-up, task and command
carries ``(partition, ids)``, so that a site with one schema for each tenant needs no other code path.

On a site whose router reads from a replica, a new account can be missing there, and a new opt-out has no effect yet. So
all code that decides about a notification runs within :func:`read_from_primary`. There, each query reads the database
that its model is written to. That includes queries of the host (``MEMBERS_OF``, ``PREFERENCES``, an authentication
backend, a queryset of recipients). A queryset with ``using()`` keeps its database. Pages of the admin and the inbox are
outside of it and may read a replica.

If no router returns a database for writing a model of the host, the model may be read-only, and its table may exist
only in the database that it is read from. The host's routers then decide. Klaxon's models, users, groups, permissions
and clusters are always written, so without an answer from a router they are read from the default database.

This module adds its own router before those of ``DATABASE_ROUTERS``. Outside of the block, the router does nothing.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, Error, InterfaceError, OperationalError, connections, router

Partition = str

_uses_primary: ContextVar[bool] = ContextVar("klaxon_reads_from_primary", default=False)

# The file cannot be opened, another process has locked it for too long, or the disk fails.
SQLITE_UNREACHABLE = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_IOERR}
# The connection is lost or refused, the server is stopping or starting, or it has no free connection.
POSTGRES_UNREACHABLE = ("08", "57P", "53300")
# The server is out of memory or disk space, or others hold a lock for too long.
POSTGRES_BUSY = ("53", "55P03")
# Deadlocks and serialization failures: the database works, but two transactions conflicted.
POSTGRES_CONFLICT = ("40",)
# Further errors that a worker counts as an outage: a full disk, a lock, a statement that took too long.
SQLITE_ALSO_OUTAGE = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_LOCKED}
POSTGRES_ALSO_OUTAGE = ("57014",)
# Undefined table, column or schema.
POSTGRES_UNDEFINED = ("42P01", "42703", "3F000")


def get_current_partition() -> Partition:
    """Return the partition that statements use now."""
    return DEFAULT_DB_ALIAS


def list_partitions() -> Iterator[Partition]:
    """Yield every partition of this site; there is at least one."""
    yield DEFAULT_DB_ALIAS


@contextmanager
def enter_partition(partition: Partition) -> Iterator[None]:
    """Run the statements of the block in ``partition``. A context manager.

    :raises LookupError: if the site has no such partition.
    """
    if partition not in list_partitions():
        raise LookupError(f"There is no partition {partition!r}.")
    yield


def is_in_transaction(using: str) -> bool:
    """Return whether there is a transaction. This includes one that the host manages itself, with autocommit off."""
    connection = connections[using]
    is_open = connection.connection is not None
    autocommit = connection.autocommit if is_open else connection.settings_dict["AUTOCOMMIT"]
    return connection.in_atomic_block or not autocommit


class PrimaryRouter:
    """Routes reads to the database for writes within :func:`read_from_primary`."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return _get_write_alias(model, hints) if _uses_primary.get() else None


PRIMARY_ROUTER = PrimaryRouter()


@contextmanager
def read_from_primary() -> Iterator[None]:
    """Let the queries of the block, in this thread or task, read the primary database.

    A context manager and a decorator.
    """
    # Django creates a new list if DATABASE_ROUTERS is overridden.
    if router.routers[:1] != [PRIMARY_ROUTER]:
        router.routers = [PRIMARY_ROUTER, *(other for other in router.routers if other is not PRIMARY_ROUTER)]
    token = _uses_primary.set(True)
    try:
        yield
    finally:
        _uses_primary.reset(token)


@contextmanager
def read_as_routed() -> Iterator[None]:
    """Let only the host's routers decide within the block, for receivers of signals.

    A context manager and a decorator.
    """
    token = _uses_primary.set(False)
    try:
        yield
    finally:
        _uses_primary.reset(token)


def _get_write_alias(model: Any, hints: dict[str, Any]) -> str | None:
    """Return the database that a model is written to, or None if the host's ``db_for_read()`` decides."""
    # A router may raise an error for a model that must not be written.
    with suppress(Exception):
        for other in router.routers:
            db_for_write = getattr(other, "db_for_write", None)
            if db_for_write is not None and (alias := db_for_write(model, **hints)):
                return str(alias)
        return DEFAULT_DB_ALIAS if _is_always_written(model) else None
    return None


def _is_always_written(model: Any) -> bool:
    """Return whether a model is certainly written.

    These are the models of Klaxon and of ``django.contrib.auth``, the user and cluster models, the models that these
    inherit from, and the tables of their many-to-many relations.
    """
    concrete = model._meta.concrete_model
    if concrete._meta.app_label in ("klaxon", "auth"):
        return True
    swapped = [apps.get_model(name) for name in (settings.AUTH_USER_MODEL, settings.NOTIFICATIONS_CLUSTER_MODEL)]
    through = {field.remote_field.through for one in swapped for field in one._meta.many_to_many}
    return concrete in through or any(issubclass(one, concrete) for one in swapped)


def reload_from_primary(row: Any) -> Any:
    """Return the row, reloaded if it came from another database than its primary; None if the primary lacks it."""
    using = _get_write_alias(type(row), {})
    if using is None or row._state.db in (None, using):
        return row
    return type(row)._base_manager.using(using).filter(pk=row.pk).first()


def is_temporary_failure(error: Error) -> bool:
    """Return whether an error of any database is temporary: it could not work at the time, or waited too long.

    Every other error, such as a missing table, is a fault of the statement and would occur again.
    """
    cause = error.__cause__
    if isinstance(cause, sqlite3.Error):
        return get_sqlite_code(cause) in {*SQLITE_UNREACHABLE, sqlite3.SQLITE_LOCKED}
    is_postgres = hasattr(cause, "sqlstate") or hasattr(cause, "pgcode")
    if not (is_postgres and isinstance(error, (OperationalError, InterfaceError))):
        return False
    state = get_sqlstate(cause)
    return state is None or state.startswith(POSTGRES_UNREACHABLE + POSTGRES_BUSY + POSTGRES_CONFLICT)


def is_outage(error: BaseException) -> bool:
    """Return whether an error, or one of its causes, means that a database could not be used at the time."""
    cause: BaseException | None = error
    while cause is not None:
        if get_sqlite_code(cause) in SQLITE_UNREACHABLE | SQLITE_ALSO_OUTAGE:
            return True
        if isinstance(cause, Error):
            state = get_sqlstate(cause.__cause__) or ""
            if state in POSTGRES_ALSO_OUTAGE or (
                is_temporary_failure(cause) and not state.startswith(POSTGRES_CONFLICT)
            ):
                return True
        cause = cause.__cause__
    return False


def suggest_migrate(error: Error) -> None:
    """Add a hint to run ``migrate`` to an error of a missing table or column."""
    if is_missing_migration(error):
        error.add_note("If a table of django-klaxon is missing or not up to date, run `manage.py migrate`.")


def is_missing_migration(error: Error) -> bool:
    """Return whether an error means that a table or a column does not exist."""
    cause = error.__cause__
    if isinstance(cause, sqlite3.Error):
        return str(cause).startswith(("no such table", "no such column"))
    return get_sqlstate(cause) in POSTGRES_UNDEFINED


def get_sqlite_code(cause: BaseException | None) -> int:
    """Return the primary result code of an error of the SQLite driver; 0 for other errors."""
    code: int = getattr(cause, "sqlite_errorcode", 0)
    return code & 0xFF


def get_sqlstate(cause: BaseException | None) -> str | None:
    """Return the SQLSTATE of an error of a PostgreSQL driver, or None if the server has sent none."""
    return getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
