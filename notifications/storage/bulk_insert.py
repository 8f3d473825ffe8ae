"""Many rows into a table of SQLite, in few statements.

Never one row by ``VALUES``: should the disk be full, SQLite takes back a statement that may write several rows, and the
transaction goes on; of one that writes one row it takes back the whole transaction, the caller's own work with it.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain
from typing import Any

# Few sizes, so that SQLite has met each statement before.
AT_ONCE = (100, 10, 1)


def insert(cursor: Any, into: str, marks: str, rows: Sequence[Sequence[Any]]) -> None:
    """
    :param into: such as ``"INSERT INTO place (one, two)"``.
    :param marks: such as ``"%s, 0"``, of one row.
    """
    for size in AT_ONCE:
        whole = len(rows) - len(rows) % size
        if whole:
            cursor.executemany(_many(into, marks, size), _by(size, rows[:whole]))
            rows = rows[whole:]


def of_one(marks: str, vendor: str) -> str:
    """What comes after ``INSERT INTO …`` for one row."""
    return f"SELECT {marks}" if vendor == "sqlite" else f"VALUES ({marks})"


def _by(size: int, rows: Sequence[Sequence[Any]]) -> Iterator[list[Any]]:
    return (list(chain.from_iterable(rows[at : at + size])) for at in range(0, len(rows), size))


@cache
def _many(into: str, marks: str, count: int) -> str:
    values = of_one(marks, "sqlite") if count == 1 else f"VALUES {', '.join([f'({marks})'] * count)}"
    # With SQLite's own marks: Django would look for its own among thousands, each time.
    return f"{into} {values}".replace("%s", "?")
