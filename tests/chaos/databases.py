"""What a worker's connections to its database can be like: short of patience or of room, or from a pool.

A worker that is a program of its own is told by its environment; one that is forked finds it set.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.db import connection, connections

PATIENCE, MOST_PAGES, POOL = "KLAXON_LOCK_PATIENCE", "KLAXON_MOST_PAGES", "KLAXON_POOL"


def trouble(database: dict[str, Any], told: Mapping[str, str]) -> None:
    """Change the options of an entry of ``DATABASES`` as these variables say."""
    options = database.setdefault("OPTIONS", {})
    if PATIENCE in told:
        options |= impatience(database["ENGINE"], float(told[PATIENCE]))
    if MOST_PAGES in told:
        options["init_command"] += f" PRAGMA max_page_count={told[MOST_PAGES]};"
    if POOL in told:
        options["pool"] = {"min_size": int(told[POOL]), "max_size": int(told[POOL])}


def impatience(engine: str, seconds: float) -> dict[str, Any]:
    """The options of a connection that waits for a lock so long at most."""
    if engine.endswith("sqlite3"):
        return {"timeout": seconds}
    return {"options": f"-c lock_timeout={round(1000 * seconds)}"}


@contextmanager
def impatient(seconds: float) -> Iterator[None]:
    """Inside, connections of this process and of those that it forks wait for a lock so long at most."""
    settings = connection.settings_dict
    before = settings["OPTIONS"]
    settings["OPTIONS"] = {**before, **impatience(settings["ENGINE"], seconds)}
    connections.close_all()
    try:
        yield
    finally:
        settings["OPTIONS"] = before
        connections.close_all()


def pages() -> int:
    """How many pages a SQLite database has, none of them free."""
    with connection.cursor() as cursor:
        cursor.execute("VACUUM")
        cursor.execute("PRAGMA page_count")
        return cursor.fetchone()[0]
