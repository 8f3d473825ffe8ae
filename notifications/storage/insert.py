"""Writing down what ``send()`` decides: one row for the notification, one for each of its deliveries.

By hand, so that a large send writes as fast as the driver can: by COPY on PostgreSQL, by few statements of many rows on
SQLite. The primary keys of deliveries are not asked for: nobody needs them before a worker claims the rows.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any

from django.apps import apps
from django.db import connections

from notifications.core import clock
from notifications.storage.bulk_insert import insert, of_one

# COPY has to be announced and ended, so up to so many rows are written sooner by one INSERT.
FEW = 50
# The defaults of columns, as they stand in a statement.
LITERALS = {None: "NULL", "": "''", 0: "0"}


OF_ALL = ("notification_id", "score")
OF_EACH = ("channel", "recipient_id", "recipient_key", "address", "address_hash", "state", "reason", "due_at")
GIVEN = (*OF_ALL, *OF_EACH)
# What differs between the deliveries of one notification, as in OF_EACH. A plain tuple: of a send to many thousands
# making anything more would be felt.
NewDelivery = tuple[str, Any, str, str, str, str, str, datetime | None]


def store(row: Any, using: str) -> None:
    """Insert a notification; it gets its primary key.

    A ``created_at`` of None becomes the present time. That of the database server comes along with the insert, which
    saves a statement.
    """
    connection = connections[using]
    if row.created_at is None and not clock.is_servers(using):
        row.created_at = clock.here()
    given = [field for field in _fields("Notification") if field.name != "created_at" or row.created_at is not None]
    values = [field.get_db_prep_save(getattr(row, field.attname), connection) for field in given]
    with connection.cursor() as cursor:
        cursor.execute(_notification_statement(connection.vendor, row.created_at is None), values)
        row.pk, created_at = cursor.fetchone()
    row.created_at = row.created_at or created_at.astimezone(UTC)
    row._state.adding, row._state.db = False, using


@cache
def _notification_statement(vendor: str, by_server: bool) -> str:
    columns = [field.column for field in _fields("Notification")]
    marks = [clock.SERVERS if by_server and column == "created_at" else "%s" for column in columns]
    return f"""
        INSERT INTO klaxon_notification ({", ".join(columns)}) {of_one(", ".join(marks), vendor)}
        RETURNING id, created_at"""  # noqa: S608 - only our own words are formatted in


def takes_one_statement(using: str) -> bool:
    """Whether :func:`store_with` is one."""
    return connections[using].vendor == "postgresql"


def store_with(row: Any, score: int, deliveries: Sequence[NewDelivery], using: str) -> None:
    """Insert a notification that has its time, and its deliveries, of which there are :data:`FEW` at most."""
    connection = connections[using]
    if not deliveries or not takes_one_statement(using):
        store(row, using)
        queue(using, row.pk, score, deliveries)
        return
    values = [field.get_db_prep_save(getattr(row, field.attname), connection) for field in _fields("Notification")]
    rows = [value for given in _as_taken(connection, (0, score), deliveries) for value in given[1:]]
    with connection.cursor() as cursor:
        cursor.execute(_statement_for_both(connection.alias, len(deliveries)), [*values, *rows])
        [row.pk] = cursor.fetchone()
    row._state.adding, row._state.db = False, using


@lru_cache(maxsize=100)
def _statement_for_both(using: str, count: int) -> str:
    columns = [field.column for field in _fields("Notification")]
    # What comes out of a UNION has lost the type of the column that it is for.
    types = {field.column: field.rel_db_type(connections[using]) for field in _fields("Delivery")}
    # A cast to varchar(10) cuts off what is longer without a word; the column refuses it.
    types = {name: kind.partition("(")[0] for name, kind in types.items()}
    values = [*((name, "%s") for name in GIVEN[1:]), *((name, LITERALS[default]) for name, default in _same())]
    marks = ", ".join(f"{value}::{types[name]}" for name, value in values)
    rows = " UNION ALL ".join([f"SELECT id, {marks} FROM stored"] * count)  # noqa: S608
    return f"""
        WITH stored AS (
            INSERT INTO klaxon_notification ({", ".join(columns)}) VALUES ({", ".join(["%s"] * len(columns))})
            RETURNING id
        ), queued AS (
            INSERT INTO klaxon_delivery ({_columns()}) {rows}
        )
        SELECT id FROM stored"""  # noqa: S608


def queue(using: str, notification_id: int, score: int, rows: Sequence[NewDelivery]) -> None:
    """Write deliveries of one notification, in the caller's transaction."""
    if not rows:
        return
    connection = connections[using]
    values = _as_taken(connection, (notification_id, score), rows)
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            insert(cursor, f"INSERT INTO klaxon_delivery ({_columns()})", _marks(), [*values])
        elif len(rows) > FEW and hasattr(cursor, "copy"):
            # Django translates errors of the driver for the methods of a cursor that it knows.
            with connection.wrap_database_errors:
                _copy(cursor, values)
        else:
            # Also for psycopg2, which copies only files.
            cursor.execute(_insert(len(rows)), [value for row in values for value in row])


def _as_taken(connection: Any, of_all: tuple[int, int], rows: Sequence[NewDelivery]) -> Iterator[tuple[Any, ...]]:
    """Rows as the driver takes them; only times and the keys of a host's users may have to be converted."""
    key = apps.get_model("klaxon", "Delivery")._meta.get_field("recipient")
    # Many wait for the same hour.
    adapt = cache(connection.ops.adapt_datetimefield_value)
    for channel, pk, recipient_key, address, address_hash, state, reason, due_at in rows:
        recipient_id = pk if type(pk) is int else key.get_db_prep_save(pk, connection)
        due = due_at and adapt(due_at)
        yield (*of_all, channel, recipient_id, recipient_key, address, address_hash, state, reason, due)


def _copy(cursor: Any, values: Iterator[tuple[Any, ...]]) -> None:
    rest = tuple(default for _column, default in _same())
    with cursor.copy(f"COPY klaxon_delivery ({_columns()}) FROM STDIN") as copy:
        for row in values:
            copy.write_row(row + rest)


@lru_cache(maxsize=100)
def _insert(count: int) -> str:
    return f"INSERT INTO klaxon_delivery ({_columns()}) VALUES {', '.join([f'({_marks()})'] * count)}"  # noqa: S608


@cache
def _marks() -> str:
    return ", ".join(["%s"] * len(GIVEN) + [LITERALS[default] for _column, default in _same()])


@cache
def _columns() -> str:
    return ", ".join([*GIVEN, *(column for column, _default in _same())])


@cache
def _same() -> list[tuple[str, Any]]:
    """The other columns of a delivery, each with the default that a new one has there."""
    return [(field.column, field.get_default()) for field in _fields("Delivery") if field.column not in GIVEN]


@cache
def _fields(model: str) -> list[Any]:
    return [field for field in apps.get_model("klaxon", model)._meta.concrete_fields if not field.primary_key]
