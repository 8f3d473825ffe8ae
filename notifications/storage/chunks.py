"""Reading many rows without holding a cursor.

Django's ``iterator()`` uses a server-side cursor on PostgreSQL. Outside a transaction a pooler in transaction mode,
such as PgBouncer, sends the next fetch to another server connection, where there is no such cursor.
"""

from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet

STEP = 2000


def in_steps(rows: QuerySet[Any], *names: str, size: int = STEP) -> Iterator[tuple[Any, ...]]:
    """These columns of all rows, by primary key, read ``size`` at a time. Each step sees what is committed by then."""
    columns = rows.order_by("pk").values_list("pk", *names)
    found = list(columns[:size])
    while found:
        yield from (row[1:] for row in found)
        found = list(columns.filter(pk__gt=found[-1][0])[:size]) if len(found) == size else []
