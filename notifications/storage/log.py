"""The statements of the log, for PostgreSQL and SQLite: rows and their personal side rows, however many they are.

By hand: a row for each attempt is half of what a worker writes at all, and one for each drop may be most of a send.
"""

import json
from collections.abc import Sequence
from functools import cache
from types import NoneType
from typing import Any

from django.apps import apps
from django.db import connections, transaction
from django.db.models import DateTimeField

from notifications.storage.bulk_insert import insert, of_one
from notifications.storage.in_array import array

EMPTY = "{}"
PLAIN = (int, NoneType)
INTO_PERSONAL = "INSERT INTO klaxon_logpersonal (log_id, address, context_data)"


def append(using: str, rows: Sequence[Any]) -> None:
    if not rows:
        return
    connection = connections[using]
    fields = [
        field for field in apps.get_model("klaxon", "NotificationLog")._meta.concrete_fields if field.name != "id"
    ]
    columns = [_column(field, [getattr(row, field.attname) for row in rows], connection) for field in fields]
    personal = [(row.new_address, _json(row.new_context)) for row in rows]
    if connection.vendor == "postgresql":
        _append_by_arrays(connection, fields, columns, personal)
    else:
        with transaction.atomic(using=using, savepoint=False):
            _append_one_by_one(connection, fields, columns, personal)


def _json(context: dict[str, Any] | None) -> str:
    return json.dumps(context, default=str) if context else EMPTY


def _column(field: Any, values: list[Any], connection: Any) -> list[Any]:
    """Values as the database takes them; only times and keys of a host's models can need to be converted."""
    if not (field.is_relation or isinstance(field, DateTimeField)) or all(type(value) in PLAIN for value in values):
        return values
    # Most are the same for all.
    prepared = cache(lambda value: field.get_db_prep_save(value, connection))
    return [prepared(value) for value in values]


def _append_by_arrays(
    connection: Any, fields: Sequence[Any], columns: list[list[Any]], personal: Sequence[Any]
) -> None:
    """One statement for both tables."""
    names = ", ".join(str(field.column) for field in fields)
    types = [*(field.db_type(connection) for field in fields), "text", "text"]
    sql = f"""
        WITH given AS MATERIALIZED (
            SELECT nextval(pg_get_serial_sequence('klaxon_notificationlog', 'id')) AS its_id, news.*
            FROM unnest({", ".join(f"%s::{name}[]" for name in types)}) AS news({names}, its_address, its_context)
        ), logged AS (
            INSERT INTO klaxon_notificationlog (id, {names}) SELECT its_id, {names} FROM given
        )
        {INTO_PERSONAL}
        SELECT its_id, its_address, its_context::jsonb FROM given WHERE its_address <> '' OR its_context <> '{EMPTY}'"""  # noqa: S608 - only our own words are formatted in
    with connection.cursor() as cursor:
        cursor.execute(sql, [*map(array, columns), *map(array, zip(*personal, strict=True))])


def _append_one_by_one(
    connection: Any, fields: Sequence[Any], columns: list[list[Any]], personal: Sequence[Any]
) -> None:
    """The first row gets its key from SQLite, and with it the lock on the file: the keys that follow are free."""
    names, marks = ", ".join(field.column for field in fields), ", ".join(["%s"] * len(fields))
    first, *others = zip(*columns, strict=True)
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO klaxon_notificationlog ({names}) {of_one(marks, connection.vendor)}", first)
        key = cursor.lastrowid
        rows = [(key + number, *row) for number, row in enumerate(others, 1)]
        insert(cursor, f"INSERT INTO klaxon_notificationlog (id, {names})", f"%s, {marks}", rows)
        sides = [(key + number, *pair) for number, pair in enumerate(personal) if pair != ("", EMPTY)]
        insert(cursor, INTO_PERSONAL, "%s, %s, %s", sides)
