"""Read many rows without an open cursor.

Django's ``iterator()`` uses a server-side cursor on PostgreSQL. Outside a transaction, a pooler in transaction mode,
such as PgBouncer, sends the next fetch to another server connection, which does not have the cursor.
"""

from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet

CHUNK_SIZE = 2000


def iterate_in_chunks(rows: QuerySet[Any], *names: str, size: int = CHUNK_SIZE) -> Iterator[tuple[Any, ...]]:
    """Yield these columns of all rows in the order of the primary key, with one query for ``size`` rows.

    Each query sees what is committed when it runs.
    """
    columns = rows.order_by("pk").values_list("pk", *names)
    found = list(columns[:size])
    while found:
        yield from (row[1:] for row in found)
        found = list(columns.filter(pk__gt=found[-1][0])[:size]) if len(found) == size else []
