"""Helpers for hand-written SQL on PostgreSQL and SQLite."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any


def in_list(condition: str, values: Collection[Any]) -> tuple[str, list[Any]]:
    if not values:
        return "", []
    return f"{condition} ({', '.join(['%s'] * len(values))})", list(values)


def row_source(connection: Any, rows: Sequence[Sequence[Any]], types: Sequence[str]) -> tuple[str, list[Any]]:
    """Return SQL to select the rows from, and its parameters.

    On PostgreSQL these are arrays, one for each column, so that the SQL is the same for any number of rows.
    """
    if connection.vendor == "postgresql":
        arrays = ", ".join(f"%s::{name}[]" for name in types)
        return f"SELECT * FROM unnest({arrays})", [list(column) for column in zip(*rows, strict=True)]  # noqa: S608
    placeholders = f"({', '.join(['%s'] * len(types))})"
    return f"VALUES {', '.join([placeholders] * len(rows))}", [value for row in rows for value in row]


def prepare_time(connection: Any, value: datetime | None) -> Any:
    return connection.ops.adapt_datetimefield_value(value)


def fetch_ids(connection: Any, sql: str, params: Sequence[Any]) -> set[int]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return {row[0] for row in cursor.fetchall()}
