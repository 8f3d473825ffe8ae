"""A thousand values for ``IN`` as one parameter: the statement stays the same, and neither side reads a long list."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connections
from django.db.models import CharField
from django.db.models.expressions import RawSQL

PLAIN = (int, str)
HAS_A_MEANING = re.compile(r"""[\s{},"\\]""")


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
    known = PLAIN if type(field) is CharField else (int,)
    prepared = [value if type(value) in known else field.get_db_prep_value(value, connection) for value in values]
    if connection.vendor != "postgresql":
        return json.dumps(prepared)
    return array(prepared)


def array(values: Sequence[Any]) -> Any:
    """Values for an array of PostgreSQL: as its text where nothing in them has a meaning there.

    The driver would look at each of them.
    """
    if all(type(value) is int for value in values):
        return f"{{{','.join(map(str, values))}}}"
    if not all(type(value) is str and value for value in values):
        return [*values]
    letters = "".join(values)
    is_plain = not HAS_A_MEANING.search(letters) and "null" not in letters.lower()
    return f"{{{','.join(values)}}}" if is_plain else [*values]
