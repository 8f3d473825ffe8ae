"""SQLite as an outbox wants it: several processes read and write, and none meets "database is locked".

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
    """An entry of ``DATABASES``: write-ahead logging, IMMEDIATE transactions, a cache of 64 MB, incremental vacuum.

    :param path: the file; it need not exist yet. Only a file that is new can be given incremental vacuum.
    :param durable: synchronise at every commit, so that a power cut takes none back. Without it the last ones before
        the cut may be lost; the crash of a process takes nothing in either case.
    :param busy_seconds: how long a writer waits for another before it fails with "database is locked".
    """
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "OPTIONS": {
            "timeout": busy_seconds,
            # A deferred transaction that reads first and writes later fails at once, however long the time-out.
            "transaction_mode": "IMMEDIATE",
            "init_command": "".join(f"PRAGMA {words};" for words in _list_pragmas(path, durable)),
        },
    }


def _list_pragmas(path: str | PathLike[str], durable: bool) -> list[str]:
    always = [
        "journal_mode=WAL",
        f"synchronous={'FULL' if durable else 'NORMAL'}",
        f"cache_size=-{CACHE_KIB}",
        f"wal_autocheckpoint={CHECKPOINT_PAGES}",
    ]
    # It must come before everything else in a new file, and must not be repeated later: on a file that has it the
    # pragma is a write, which waits for the lock and wakes every worker, with each connection that is opened.
    return ["auto_vacuum=INCREMENTAL", *always] if _is_new(path) else always


def _is_new(path: str | PathLike[str]) -> bool:
    if str(path).startswith("file:"):
        return False
    file = Path(path)
    return not file.exists() or not file.stat().st_size
