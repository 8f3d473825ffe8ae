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
from django.db.models import DateTimeField

from notifications.storage.engine import Column, Engine, get_engine

EMPTY_JSON = "{}"
UNCONVERTED_TYPES = (int, NoneType)


def append(using: str, rows: Sequence[Any]) -> None:
    """Insert rows of ``NotificationLog``, each with its ``new_address`` and ``new_context`` as its personal part."""
    if not rows:
        return
    engine = get_engine(using)
    connection = engine.connection
    columns = [
        Column(field.column, kind, _prepare_values(field, [getattr(row, field.attname) for row in rows], connection))
        for field, kind in _fields(engine)
    ]
    addresses, contexts = zip(*(_get_personal(row) for row in rows), strict=True)
    details = [Column("address", "text", addresses), Column("context_data", "jsonb", contexts)]
    engine.insert_with_details("klaxon_notificationlog", columns, "klaxon_logpersonal", "log_id", details)


def _get_personal(row: Any) -> tuple[str, str] | tuple[None, None]:
    if not (row.new_address or row.new_context):
        return None, None
    return row.new_address, _to_json(row.new_context)


def _to_json(context: dict[str, Any] | None) -> str:
    return json.dumps(context, default=str) if context else EMPTY_JSON


@cache
def _fields(engine: Engine) -> list[tuple[Any, str]]:
    """Return the fields that are inserted, each with its database type."""
    fields: Any = apps.get_model("klaxon", "NotificationLog")._meta.concrete_fields
    return [(field, field.db_type(engine.connection)) for field in fields if field.name != "id"]


def _prepare_values(field: Any, values: list[Any], connection: Any) -> list[Any]:
    """Return values for the driver; only times and primary keys of the host's models may need conversion."""
    may_need_conversion = field.is_relation or isinstance(field, DateTimeField)
    if not may_need_conversion or all(type(value) in UNCONVERTED_TYPES for value in values):
        return values
    # Most rows have the same value.
    prepare = cache(lambda value: field.get_db_prep_save(value, connection))
    return [prepare(value) for value in values]
