"""Settings of SQLite with which several processes can use the outbox without "database is locked" errors.

For ``settings.py``::

    from notifications.sqlite import tuned

    DATABASES = {"default": tuned(BASE_DIR / "db.sqlite3")}
"""

from os import PathLike
from pathlib import Path
from typing import Any

CACHE_KIB = 64_000
CHECKPOINT_PAGES = 1000


def tuned(path: str | PathLike[str], *, durable: bool = False, busy_seconds: float = 20) -> dict[str, Any]:
    """Return an entry of ``DATABASES`` for SQLite.

    It uses write-ahead logging, IMMEDIATE transactions, a cache of 64 MB and incremental vacuum.

    :param path: the path of the file, which need not exist. Incremental vacuum can be enabled only for a new file.
    :param durable: whether to synchronise at every commit, so that a power failure loses no transaction. By default,
        the last transactions before it may be lost. The crash of a process loses nothing in either case.
    :param busy_seconds: the seconds that a writer waits for another one before it fails with "database is locked".
    """
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "OPTIONS": {
            "timeout": busy_seconds,
            # A deferred transaction that first reads and then writes fails at once, regardless of the timeout.
            "transaction_mode": "IMMEDIATE",
            "init_command": "".join(f"PRAGMA {pragma};" for pragma in _list_pragmas(path, durable)),
        },
    }


def _list_pragmas(path: str | PathLike[str], durable: bool) -> list[str]:
    pragmas = [
        "journal_mode=WAL",
        f"synchronous={'FULL' if durable else 'NORMAL'}",
        f"cache_size=-{CACHE_KIB}",
        f"wal_autocheckpoint={CHECKPOINT_PAGES}",
    ]
    # auto_vacuum must be the first statement in a new file and must not be repeated later: in an existing file, the
    # pragma is a write, so each new connection would wait for the lock and wake every worker.
    return ["auto_vacuum=INCREMENTAL", *pragmas] if _is_new(path) else pragmas


def _is_new(path: str | PathLike[str]) -> bool:
    if str(path).startswith("file:"):
        return False
    file = Path(path)
    return not file.exists() or not file.stat().st_size
