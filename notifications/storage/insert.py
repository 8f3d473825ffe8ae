"""Insert notifications, deliveries, and log rows with their personal parts.

The statements are written by hand, so that a large send writes as fast as the driver allows: with COPY on PostgreSQL,
with few statements of many rows on SQLite. They do not return the primary keys of deliveries, because nothing needs
these before a worker claims the rows. A row of the log for each attempt is half of what a worker writes, and a row for
each drop may be most of what a send writes.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from operator import attrgetter
from types import NoneType
from typing import Any

from django.apps import apps
from django.db.models import DateTimeField

from notifications.core import clock
from notifications.storage.engine import LITERALS, Column, Engine, InsertTarget, get_engine
from notifications.storage.figures import build_deltas

# At most this number of deliveries is inserted by one statement with their notification.
MAX_INSERT_ROWS = 50

# Columns with the same value for all deliveries of a notification, and columns with a value for each.
SHARED_COLUMNS = ("notification_id", "score")
DELIVERY_COLUMNS = ("channel", "recipient_id", "recipient_key", "address", "address_hash", "state", "reason", "due_at")
WRITTEN_COLUMNS = (*SHARED_COLUMNS, *DELIVERY_COLUMNS)
# The values of DELIVERY_COLUMNS. It is a plain tuple, because a send to many thousands makes one for each delivery.
NewDelivery = tuple[str, Any, str, str, str, str, str, datetime | None]
EMPTY_JSON = "{}"
UNCONVERTED_TYPES = frozenset((int, NoneType))


def insert_notification(row: Any, using: str) -> None:
    """Insert a notification and set its primary key.

    A ``created_at`` of None becomes the present time. If that is the time of the database server, the INSERT sets and
    returns it, which saves a statement.
    """
    engine = get_engine(using)
    if row.created_at is None and not clock.uses_server_time(using):
        row.created_at = clock.local_now()
    connection, by_server = engine.connection, row.created_at is None
    values = []
    for field in _fields("Notification"):
        if field.name != "created_at" or not by_server:
            values.append(field.get_db_prep_save(getattr(row, field.attname), connection))
    with connection.cursor() as cursor:
        cursor.execute(_notification_statement(engine, by_server), values)
        row.pk, created_at = cursor.fetchone()
    row.created_at = row.created_at or created_at.astimezone(UTC)
    row._state.adding, row._state.db = False, using


@cache
def _notification_statement(engine: Engine, by_server: bool) -> str:
    columns = [field.column for field in _fields("Notification")]
    created_at = engine.server_time if by_server and engine.server_time else "%s"
    placeholders = [created_at if column == "created_at" else "%s" for column in columns]
    return f"""
        INSERT INTO klaxon_notification ({", ".join(columns)}) {engine.single_row(", ".join(placeholders))}
        RETURNING id, created_at"""  # noqa: S608 - only constants and column names are formatted in


def insert_with_deliveries(row: Any, score: int, deliveries: Sequence[NewDelivery], using: str) -> None:
    """Insert a notification with a ``created_at``, and its deliveries: :data:`MAX_INSERT_ROWS` at most.

    It takes one statement if the engine ``can_write_in_with``.
    """
    engine = get_engine(using)
    connection = engine.connection
    if not deliveries or not engine.can_write_in_with:
        insert_notification(row, using)
        insert_deliveries(using, row.pk, score, deliveries)
        return
    values = [field.get_db_prep_save(getattr(row, field.attname), connection) for field in _fields("Notification")]
    rows = [value for prepared in _prepare_rows(connection, (0, score), deliveries) for value in prepared[1:]]
    with connection.cursor() as cursor:
        cursor.execute(_combined_statement(engine, len(deliveries)), [*values, *rows])
        [row.pk] = cursor.fetchone()
    row._state.adding, row._state.db = False, using


@lru_cache(maxsize=100)
def _combined_statement(engine: Engine, count: int) -> str:
    columns = [field.column for field in _fields("Notification")]
    # Parameters within a UNION do not get the types of the columns that they are inserted into.
    types = {field.column: field.rel_db_type(engine.connection) for field in _fields("Delivery")}
    # A cast to varchar(10) silently truncates longer values; the column itself refuses them.
    types = {name: kind.partition("(")[0] for name, kind in types.items()}
    literals = ((name, LITERALS[default]) for name, default in _delivery_target().constants)
    values = [*((name, "%s") for name in WRITTEN_COLUMNS[1:]), *literals]
    casts = ", ".join(f"{value}::{types[name]}" for name, value in values)
    rows = " UNION ALL ".join([f"SELECT id, {casts} FROM stored"] * count)  # noqa: S608
    return f"""
        WITH stored AS (
            INSERT INTO klaxon_notification ({", ".join(columns)}) VALUES ({", ".join(["%s"] * len(columns))})
            RETURNING id
        ), queued AS (
            INSERT INTO klaxon_delivery ({_delivery_target().all_columns}) {rows}
        )
        SELECT id FROM stored"""  # noqa: S608


def insert_deliveries(using: str, notification_id: int, score: int, rows: Sequence[NewDelivery]) -> None:
    """Insert deliveries of one notification in the caller's transaction."""
    engine = get_engine(using)
    engine.insert_rows(_delivery_target(), _prepare_rows(engine.connection, (notification_id, score), rows))


def _prepare_rows(connection: Any, shared: tuple[int, int], rows: Sequence[NewDelivery]) -> list[tuple[Any, ...]]:
    """Return rows for the driver; only times and the primary keys of the host's users may need conversion."""
    key = apps.get_model("klaxon", "Delivery")._meta.get_field("recipient")
    # Many deliveries have the same due time.
    adapt, prepared = cache(connection.ops.adapt_datetimefield_value), []
    for channel, pk, recipient_key, address, address_hash, state, reason, due_at in rows:
        recipient_id = pk if type(pk) is int else key.get_db_prep_save(pk, connection)
        due = due_at and adapt(due_at)
        prepared.append((*shared, channel, recipient_id, recipient_key, address, address_hash, state, reason, due))
    return prepared


@cache
def _delivery_target() -> InsertTarget:
    """Return all columns of a delivery; those that are not written have their defaults."""
    defaults = [(field.column, field.get_default()) for field in _fields("Delivery")]
    return InsertTarget(
        "klaxon_delivery", WRITTEN_COLUMNS, tuple(pair for pair in defaults if pair[0] not in WRITTEN_COLUMNS)
    )


@cache
def _fields(model: str) -> list[Any]:
    return [field for field in apps.get_model("klaxon", model)._meta.concrete_fields if not field.primary_key]


def insert_log_rows(using: str, rows: Sequence[Any]) -> None:
    """Insert rows of ``NotificationLog``, each with its ``new_address`` and ``new_context`` as its personal part.

    Their figures are inserted with them, so that counters always agree with the log.
    """
    if not rows:
        return
    engine = get_engine(using)
    columns, addresses, contexts = [], [], []
    for field, kind in _log_fields(engine):
        values = [*map(attrgetter(field.attname), rows)]
        # Only times and primary keys of the host's models may need conversion.
        if field.is_relation or isinstance(field, DateTimeField):
            values = _convert_values(field, values, engine.connection)
        columns.append(Column(field.column, kind, values))
    for row in rows:
        is_personal = bool(row.new_address or row.new_context)
        context = json.dumps(row.new_context, default=str) if row.new_context else EMPTY_JSON
        addresses.append(row.new_address if is_personal else None)
        contexts.append(context if is_personal else None)
    details = [Column("address", "text", addresses), Column("context_data", "jsonb", contexts)]
    engine.insert_with_details(
        "klaxon_notificationlog", columns, "klaxon_logpersonal", "log_id", details, build_deltas(using, rows)
    )


@cache
def _log_fields(engine: Engine) -> list[tuple[Any, str]]:
    """Return the fields that are inserted, each with its database type."""
    fields: Any = apps.get_model("klaxon", "NotificationLog")._meta.concrete_fields
    return [(field, field.db_type(engine.connection)) for field in fields if field.name != "id"]


def _convert_values(field: Any, values: list[Any], connection: Any) -> list[Any]:
    """Return values for the driver."""
    if UNCONVERTED_TYPES.issuperset(map(type, values)):
        return values
    # Most rows have the same value.
    converted = {}
    for value in set(values):
        converted[value] = field.get_db_prep_save(value, connection)
    return [*map(converted.__getitem__, values)]
