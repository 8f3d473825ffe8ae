"""Insert log rows and their personal parts on PostgreSQL and SQLite.

The statements are written by hand, because a row for each attempt is half of what a worker writes, and a row for each
drop may be most of what a send writes.
"""

import json
from collections.abc import Sequence
from functools import cache
from types import NoneType
from typing import Any

from django.apps import apps
from django.db import connections, transaction
from django.db.models import DateTimeField

from notifications.storage.bulk_insert import insert_rows, single_row
from notifications.storage.postgres import postgres_array

EMPTY_JSON = "{}"
UNCONVERTED_TYPES = (int, NoneType)
INSERT_PERSONAL = "INSERT INTO klaxon_logpersonal (log_id, address, context_data)"


def append(using: str, rows: Sequence[Any]) -> None:
    """Insert rows of ``NotificationLog``, each with its ``new_address`` and ``new_context`` as its personal part."""
    if not rows:
        return
    connection = connections[using]
    fields = [
        field for field in apps.get_model("klaxon", "NotificationLog")._meta.concrete_fields if field.name != "id"
    ]
    columns = [_prepare_column(field, [getattr(row, field.attname) for row in rows], connection) for field in fields]
    personal = [(row.new_address, _to_json(row.new_context)) for row in rows]
    if connection.vendor == "postgresql":
        _append_with_arrays(connection, fields, columns, personal)
    else:
        with transaction.atomic(using=using, savepoint=False):
            _append_row_by_row(connection, fields, columns, personal)


def _to_json(context: dict[str, Any] | None) -> str:
    return json.dumps(context, default=str) if context else EMPTY_JSON


def _prepare_column(field: Any, values: list[Any], connection: Any) -> list[Any]:
    """Return values for the driver; only times and primary keys of the host's models may need conversion."""
    may_need_conversion = field.is_relation or isinstance(field, DateTimeField)
    if not may_need_conversion or all(type(value) in UNCONVERTED_TYPES for value in values):
        return values
    # Most rows have the same value.
    prepare = cache(lambda value: field.get_db_prep_save(value, connection))
    return [prepare(value) for value in values]


def _append_with_arrays(
    connection: Any, fields: Sequence[Any], columns: list[list[Any]], personal: Sequence[Any]
) -> None:
    """Insert into both tables with one statement."""
    names = ", ".join(str(field.column) for field in fields)
    types = [*(field.db_type(connection) for field in fields), "text", "text"]
    sql = f"""
        WITH numbered AS MATERIALIZED (
            SELECT nextval(pg_get_serial_sequence('klaxon_notificationlog', 'id')) AS new_id, new_rows.*
            FROM unnest({", ".join(f"%s::{name}[]" for name in types)}) AS new_rows({names}, new_address, new_context)
        ), logged AS (
            INSERT INTO klaxon_notificationlog (id, {names}) SELECT new_id, {names} FROM numbered
        )
        {INSERT_PERSONAL}
        SELECT new_id, new_address, new_context::jsonb FROM numbered
        WHERE new_address <> '' OR new_context <> '{EMPTY_JSON}'"""  # noqa: S608 - only constants and column names are formatted in
    with connection.cursor() as cursor:
        cursor.execute(sql, [*map(postgres_array, columns), *map(postgres_array, zip(*personal, strict=True))])


def _append_row_by_row(
    connection: Any, fields: Sequence[Any], columns: list[list[Any]], personal: Sequence[Any]
) -> None:
    """Insert the first row with a key that SQLite chooses.

    This also takes the write lock on the file, so the keys that follow are free.
    """
    names, placeholders = ", ".join(field.column for field in fields), ", ".join(["%s"] * len(fields))
    first, *others = zip(*columns, strict=True)
    with connection.cursor() as cursor:
        values = single_row(placeholders, connection.vendor)
        cursor.execute(f"INSERT INTO klaxon_notificationlog ({names}) {values}", first)
        key = cursor.lastrowid
        rows = [(key + number, *row) for number, row in enumerate(others, 1)]
        insert_rows(cursor, f"INSERT INTO klaxon_notificationlog (id, {names})", f"%s, {placeholders}", rows)
        personal_rows = [(key + number, *pair) for number, pair in enumerate(personal) if pair != ("", EMPTY_JSON)]
        insert_rows(cursor, INSERT_PERSONAL, "%s, %s, %s", personal_rows)
