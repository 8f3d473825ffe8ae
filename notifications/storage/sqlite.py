"""The engine of SQLite, where only one transaction can write at a time, so nothing else is locked."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from notifications.storage.engine import Engine


class SQLiteEngine(Engine):
    lock_rows = ""
    skip_locked = ""

    def unlocked_condition(self, table: str, ids: str) -> str:
        return ""

    def row_source(self, rows: Sequence[Sequence[Any]], types: Sequence[str]) -> tuple[str, list[Any]]:
        placeholders = f"({', '.join(['%s'] * len(types))})"
        return f"VALUES {', '.join([placeholders] * len(rows))}", [value for row in rows for value in row]

    def mapping_source(self, mapping: Mapping[str, str], key: str, value: str) -> tuple[str, list[Any]]:
        sql = f"(SELECT key AS {key}, value AS {value} FROM json_each(%s)) AS mapping"  # noqa: S608 - column names
        return sql, [json.dumps(mapping)]

    def in_array(self, kind: str) -> str:
        return "IN (SELECT value FROM json_each(%s))"

    def array_rows(self, kind: str) -> str:
        return "SELECT value FROM json_each(%s)"

    def array_parameter(self, values: Sequence[Any]) -> Any:
        return json.dumps(values)

    def lock_transaction(self, name: str) -> None:
        """Do nothing: a transaction that writes locks the whole database."""

    def try_lock_transaction(self, name: str) -> bool:
        """Return True: the first write of the transaction locks the whole database."""
        return True
