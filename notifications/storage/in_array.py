"""Pass the values of ``IN`` as one parameter.

The statement stays the same for any number of values, and neither Django nor the database parses a long list.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any

from django.db.models import CharField
from django.db.models.expressions import RawSQL

from notifications.storage.engine import Engine, get_engine

KNOWN_TYPES = (int, str)


def array_subquery(values: Iterable[Any], field: Any, using: str) -> RawSQL:
    """Return a subquery of these values of a field.

    Use it as ``filter(user__in=array_subquery(ids, User._meta.pk, using))``.
    """
    engine = get_engine(using)
    sql = engine.array_rows(_get_type(field, engine))
    return RawSQL(sql, (_parameter(values, field, engine),), output_field=field)  # noqa: S611 - constant SQL


def in_array(values: Iterable[Any], field: Any, using: str) -> tuple[str, Any]:
    """Return the condition that follows a column in hand-written SQL, and its parameter."""
    engine = get_engine(using)
    return engine.in_array(_get_type(field, engine)), _parameter(values, field, engine)


@cache
def _get_type(field: Any, engine: Engine) -> str:
    """Return the database type of a value of the field. Django makes a new field for each such question."""
    return str(field.rel_db_type(engine.connection))


def _parameter(values: Iterable[Any], field: Any, engine: Engine) -> Any:
    # The keys of a host's models may have a type that the driver does not know.
    known = KNOWN_TYPES if type(field) is CharField else (int,)
    prepare, connection = field.get_db_prep_value, engine.connection
    return engine.array_parameter([value if type(value) in known else prepare(value, connection) for value in values])
