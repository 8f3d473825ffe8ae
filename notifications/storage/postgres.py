"""The engine of PostgreSQL. Many values are passed as arrays, so that a statement is the same for any number."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from notifications.storage.engine import Engine

SPECIAL_CHARACTERS = re.compile(r"""[\s{},"\\]""")


class PostgresEngine(Engine):
    lock_rows = "FOR UPDATE"
    skip_locked = "FOR UPDATE SKIP LOCKED"

    def unlocked_condition(self, table: str, ids: str) -> str:
        return f"AND id IN (SELECT id FROM {table} WHERE id IN ({ids}) {self.skip_locked})"  # noqa: S608

    def row_source(self, rows: Sequence[Sequence[Any]], types: Sequence[str]) -> tuple[str, list[Any]]:
        arrays = ", ".join(f"%s::{kind}[]" for kind in types)
        return f"SELECT * FROM unnest({arrays})", [list(column) for column in zip(*rows, strict=True)]  # noqa: S608

    def mapping_source(self, mapping: Mapping[str, str], key: str, value: str) -> tuple[str, list[Any]]:
        sql = f"unnest(%s::text[], %s::text[]) AS mapping({key}, {value})"
        return sql, [postgres_array([*mapping]), postgres_array([*mapping.values()])]

    def in_array(self, kind: str) -> str:
        return f"= ANY (%s::{kind}[])"

    def array_rows(self, kind: str) -> str:
        return f"SELECT unnest(%s::{kind}[])"

    def array_parameter(self, values: Sequence[Any]) -> Any:
        return postgres_array(values)

    def lock_transaction(self, name: str) -> None:
        self._call_with_lock("pg_advisory_xact_lock", name)

    def try_lock_transaction(self, name: str) -> bool:
        return bool(self._call_with_lock("pg_try_advisory_xact_lock", name))

    def _call_with_lock(self, function: str, name: str) -> Any:
        with self.connection.cursor() as cursor:
            # Each schema is a partition with its own locks.
            cursor.execute(f"SELECT {function}(hashtext(%s), hashtext(current_schema()))", [name])
            return cursor.fetchone()[0]


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
