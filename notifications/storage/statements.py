"""Helpers for hand-written SQL on PostgreSQL and SQLite."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from notifications.storage.engine import Engine


def in_list(condition: str, values: Collection[Any]) -> tuple[str, list[Any]]:
    """Return a condition with its parameters, both empty if there are no values."""
    if not values:
        return "", []
    return f"{condition} ({', '.join(['%s'] * len(values))})", list(values)


def prepare_time(connection: Any, value: datetime | None) -> Any:
    """Return a time for the driver."""
    return connection.ops.adapt_datetimefield_value(value)


def fetch_ids(engine: Engine, sql: str, params: Sequence[Any]) -> set[int]:
    """Run a statement and return the first column of its rows."""
    with engine.connection.cursor() as cursor:
        cursor.execute(sql, params)
        return {row[0] for row in cursor.fetchall()}
