"""Insert many rows into an SQLite table with few statements.

A statement for a single row never uses ``VALUES``. If the disk is full, SQLite rolls back only the statement if it can
write several rows, and the transaction goes on. If the statement writes one row, SQLite rolls back the whole
transaction, including the caller's own work.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain
from typing import Any

# There are few sizes, so that the driver's statement cache has nearly always prepared the statement before.
BATCH_SIZES = (100, 10, 1)


def insert_rows(cursor: Any, into: str, placeholders: str, rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows with statements of 100 rows, 10 rows and one row.

    :param into: the beginning of the statement, such as ``"INSERT INTO place (one, two)"``.
    :param placeholders: the values of one row, such as ``"%s, 0"``.
    """
    for size in BATCH_SIZES:
        count = len(rows) - len(rows) % size
        if count:
            cursor.executemany(_statement(into, placeholders, size), _merge_parameters(size, rows[:count]))
            rows = rows[count:]


def single_row(placeholders: str, vendor: str) -> str:
    """Return the SQL that follows ``INSERT INTO …`` for one row."""
    return f"SELECT {placeholders}" if vendor == "sqlite" else f"VALUES ({placeholders})"


def _merge_parameters(size: int, rows: Sequence[Sequence[Any]]) -> Iterator[list[Any]]:
    return (list(chain.from_iterable(rows[start : start + size])) for start in range(0, len(rows), size))


@cache
def _statement(into: str, placeholders: str, count: int) -> str:
    many = f"VALUES {', '.join([f'({placeholders})'] * count)}"
    values = single_row(placeholders, "sqlite") if count == 1 else many
    # SQLite's own placeholders: Django would otherwise search the statement for its own thousands of times.
    return f"{into} {values}".replace("%s", "?")
