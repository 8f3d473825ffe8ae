"""The meaning of the errors that database drivers raise. Django keeps the driver's error as ``__cause__``."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import Error, InterfaceError, OperationalError

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


@contextmanager
def suggest_migrate() -> Iterator[None]:
    """Add a hint to run ``migrate`` to errors of missing tables or columns. A context manager."""
    try:
        yield
    except Error as error:
        if is_missing_migration(error):
            error.add_note("If a table of django-klaxon is missing or not up to date, run `manage.py migrate`.")
        raise


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
