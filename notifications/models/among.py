"""A thousand values for ``IN`` as one parameter: the statement stays the same, and neither side reads a long list."""

import json
from collections.abc import Iterable
from typing import Any

from django.db import connections
from django.db.models.expressions import RawSQL


def these(values: Iterable[Any], field: Any, using: str) -> RawSQL:
    """For ``filter(user__in=these(ids, User._meta.pk, using))``: a subquery with these values of a field."""
    connection = connections[using]
    sql = "SELECT value FROM json_each(%s)"
    if connection.vendor == "postgresql":
        sql = f"SELECT unnest({_array(field, connection)})"
    return RawSQL(sql, (_parameter(values, field, connection),), output_field=field)  # noqa: S611 - our own words


def among(values: Iterable[Any], field: Any, using: str) -> tuple[str, Any]:
    """What comes after a column in a statement by hand, and its parameter."""
    connection = connections[using]
    sql = "IN (SELECT value FROM json_each(%s))"
    if connection.vendor == "postgresql":
        sql = f"= ANY ({_array(field, connection)})"
    return sql, _parameter(values, field, connection)


def _array(field: Any, connection: Any) -> str:
    return f"%s::{field.rel_db_type(connection)}[]"


def _parameter(values: Iterable[Any], field: Any, connection: Any) -> Any:
    # What a host's keys are made of may be of a kind that the driver does not know.
    prepared = [value if type(value) is int else field.get_db_prep_value(value, connection) for value in values]
    if connection.vendor != "postgresql":
        return json.dumps(prepared)
    # As text where that is plain: the driver would look at each of them.
    return f"{{{','.join(map(str, prepared))}}}" if all(type(value) is int for value in prepared) else prepared
