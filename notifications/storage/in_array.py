"""Pass the values of ``IN`` as one parameter.

The statement stays the same for any number of values, and neither Django nor the database parses a long list.
"""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connections
from django.db.models import CharField
from django.db.models.expressions import RawSQL

KNOWN_TYPES = (int, str)
SPECIAL_CHARACTERS = re.compile(r"""[\s{},"\\]""")


def array_subquery(values: Iterable[Any], field: Any, using: str) -> RawSQL:
    """Return a subquery of these values of a field.

    Use it as ``filter(user__in=array_subquery(ids, User._meta.pk, using))``.
    """
    connection = connections[using]
    sql = "SELECT value FROM json_each(%s)"
    if connection.vendor == "postgresql":
        sql = f"SELECT unnest({_array_placeholder(field, connection)})"
    return RawSQL(sql, (_parameter(values, field, connection),), output_field=field)  # noqa: S611 - constant SQL


def in_array(values: Iterable[Any], field: Any, using: str) -> tuple[str, Any]:
    """Return the condition that follows a column in hand-written SQL, and its parameter."""
    connection = connections[using]
    sql = "IN (SELECT value FROM json_each(%s))"
    if connection.vendor == "postgresql":
        sql = f"= ANY ({_array_placeholder(field, connection)})"
    return sql, _parameter(values, field, connection)


def _array_placeholder(field: Any, connection: Any) -> str:
    return f"%s::{field.rel_db_type(connection)}[]"


def _parameter(values: Iterable[Any], field: Any, connection: Any) -> Any:
    # The keys of a host's models may have a type that the driver does not know.
    known = KNOWN_TYPES if type(field) is CharField else (int,)
    prepared = [value if type(value) in known else field.get_db_prep_value(value, connection) for value in values]
    if connection.vendor != "postgresql":
        return json.dumps(prepared)
    return postgres_array(prepared)


def postgres_array(values: Sequence[Any]) -> Any:
    """Return the parameter for a PostgreSQL array.

    It is the text of the array unless a value contains a character with a meaning in that text: the driver would
    otherwise inspect each value.
    """
    if all(type(value) is int for value in values):
        return f"{{{','.join(map(str, values))}}}"
    if not all(type(value) is str and value for value in values):
        return [*values]
    letters = "".join(values)
    is_plain = not SPECIAL_CHARACTERS.search(letters) and "null" not in letters.lower()
    return f"{{{','.join(values)}}}" if is_plain else [*values]
