"""The engine of SQLite, where only one transaction can write at a time, so nothing else is locked."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

from django.db import Error, transaction

from notifications.core.databases import SQLITE_UNREACHABLE, get_sqlite_code
from notifications.storage.engine import Column, Engine, InsertTarget, SchemaObject

# There are few sizes, so that the driver's statement cache has nearly always prepared the statement before.
BATCH_SIZES = (100, 10, 1)
# The value of the pragma auto_vacuum.
INCREMENTAL = 2

# The migrations create the same: what they contain must never change, so it is not shared with them.
SEARCH_TABLE, INBOX_TABLE = "klaxon_inboxsearch", "klaxon_inboxitem"
SEARCH_NAMES = "rowid, title, body, recipient_id"
ADD_TO_SEARCH = f"INSERT INTO {SEARCH_TABLE} ({SEARCH_NAMES}) VALUES (new.id, new.title, new.body, new.recipient_id)"  # noqa: S608
REMOVE_FROM_SEARCH = (
    f"INSERT INTO {SEARCH_TABLE} ({SEARCH_TABLE}, {SEARCH_NAMES}) "  # noqa: S608 - constant SQL
    "VALUES ('delete', old.id, old.title, old.body, old.recipient_id)"
)
SEARCH_TRIGGERS = {
    "klaxon_inbox_search_add": f"AFTER INSERT ON {INBOX_TABLE} BEGIN {ADD_TO_SEARCH}; END",
    "klaxon_inbox_search_remove": f"AFTER DELETE ON {INBOX_TABLE} BEGIN {REMOVE_FROM_SEARCH}; END",
    "klaxon_inbox_search_change": (
        f"AFTER UPDATE OF title, body, recipient_id ON {INBOX_TABLE} BEGIN {REMOVE_FROM_SEARCH}; {ADD_TO_SEARCH}; END"
    ),
}
CREATE_SEARCH = (
    f"CREATE VIRTUAL TABLE {SEARCH_TABLE} USING fts5(title, body, recipient_id, content='{INBOX_TABLE}', "
    "content_rowid='id', tokenize='unicode61 remove_diacritics 0');"
)
# What was written without the triggers is not in the index.
REBUILD_SEARCH = f"INSERT INTO {SEARCH_TABLE} ({SEARCH_TABLE}) VALUES ('rebuild');"  # noqa: S608 - constant SQL
OPTIONS = ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")


class SQLiteEngine(Engine):
    lock_rows = ""
    skip_locked = ""
    can_write_in_with = False
    has_server = False
    # Each word is looked for by Python.
    wider_scan = 1
    server_time = None
    prefers_subqueries = True
    index_options: ClassVar[Mapping[str, Any]] = {}

    def unlocked_condition(self, table: str, ids: str) -> str:
        return ""

    def row_source(self, rows: Sequence[Sequence[Any]], types: Sequence[str]) -> tuple[str, list[Any]]:
        placeholders = f"({', '.join(['%s'] * len(types))})"
        return f"VALUES {', '.join([placeholders] * len(rows))}", [*chain.from_iterable(rows)]

    def mapping_source(self, mapping: Mapping[str, str], key: str, value: str) -> tuple[str, list[Any]]:
        sql = f"(SELECT key AS {key}, value AS {value} FROM json_each(%s)) AS mapping"  # noqa: S608 - column names
        return sql, [json.dumps(mapping)]

    def in_array(self, kind: str) -> str:
        return "IN (SELECT value FROM json_each(%s))"

    def array_rows(self, kind: str) -> str:
        return "SELECT value FROM json_each(%s)"

    def array_parameter(self, values: Sequence[Any]) -> Any:
        return json.dumps(values)

    def json_array(self, *values: str) -> str:
        return f"json_array({', '.join(values)})"

    def json_aggregate(self, value: str) -> str:
        return f"json_group_array({value})"

    def json_to_text(self, json: str) -> str:
        """Return an expression that SQLite does not recognise as JSON, so an array with it contains a text."""
        return f"{json} || ''"

    def json_column_to_text(self, column: str) -> str:
        """Return the column, which is a text already."""
        return column

    def single_row(self, placeholders: str) -> str:
        """Return a SELECT.

        If the disk is full, SQLite rolls back only the statement if it can write several rows, and the transaction
        goes on. If the statement writes one row, SQLite rolls back the whole transaction, including the caller's own
        work. A statement with ``VALUES`` and one row is such a statement.
        """
        return f"SELECT {placeholders}"

    def insert_rows(self, target: InsertTarget, rows: Sequence[Sequence[Any]]) -> None:
        if rows:
            with self.connection.cursor() as cursor:
                _insert_in_batches(cursor, target, rows)

    def insert_with_details(
        self,
        table: str,
        columns: Sequence[Column],
        details_table: str,
        key: str,
        details: Sequence[Column],
        further: tuple[str, Sequence[Any]] | None = None,
    ) -> None:
        """Insert the first row with a key that SQLite chooses.

        This also takes the write lock on the file, so the keys that follow are free.
        """
        names, _kinds, values = zip(*columns, strict=True)
        detail_names, _kinds, detail_values = zip(*details, strict=True)
        first, *others = zip(*values, strict=True)
        single = self.single_row(", ".join(["%s"] * len(names)))
        with transaction.atomic(using=self.using, savepoint=False), self.connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO {table} ({', '.join(names)}) {single}", first)  # noqa: S608
            first_key = cursor.lastrowid
            rows, detail_rows = [], []
            for row_key, row in enumerate(others, first_key + 1):
                rows.append((row_key, *row))
            for row_key, row in enumerate(zip(*detail_values, strict=True), first_key):
                if row[0] is not None:
                    detail_rows.append((row_key, *row))
            _insert_in_batches(cursor, InsertTarget(table, ("id", *names)), rows)
            _insert_in_batches(cursor, InsertTarget(details_table, (key, *detail_names)), detail_rows)
            if further:
                cursor.execute(*further)

    def python_order(self, column: str) -> Any:
        return column

    def match_inbox_text(self, words: Sequence[str], owner: Any) -> tuple[str, list[str]]:
        """Search the FTS5 table.

        The plus sign keeps SQLite from looking up each found item, of which there may be many: it reads the items in
        their order, and stops when a page is full.
        """
        key = str(owner).replace('"', '""')
        terms = " AND ".join(f'"{word}"*' for word in words)
        found = "SELECT rowid FROM klaxon_inboxsearch WHERE klaxon_inboxsearch MATCH %s"
        query = f'recipient_id : "{key}" AND {{title body}} : ({terms})'
        return f"+klaxon_inboxitem.id IN ({found})", [query]  # noqa: S608 - constant SQL

    def match_inbox_row(self, words: Sequence[str]) -> tuple[str, list[str]]:
        # As the tokenizer of the FTS5 table does, without regard to case. An underscore separates words.
        conditions = ["(klaxon_inboxitem.title || ' ' || klaxon_inboxitem.body) REGEXP %s"] * len(words)
        return " AND ".join(conditions), [rf"(?i)(?<![^\W_]){word}" for word in words]

    def prefer_index(self, name: str) -> str:
        return f"INDEXED BY {name}"

    def is_unreachable(self, error: Error) -> bool:
        return get_sqlite_code(error.__cause__) in SQLITE_UNREACHABLE

    @contextmanager
    def limit_lock_waits(self, seconds: float) -> Iterator[None]:
        with self.connection.cursor() as cursor:
            [before] = cursor.execute("PRAGMA busy_timeout").fetchone()
            cursor.execute(f"PRAGMA busy_timeout = {max(1, round(seconds * 1000))}")
            try:
                yield
            finally:
                cursor.execute(f"PRAGMA busy_timeout = {before}")

    def set_log_purpose(self, purpose: str) -> None:
        """Do nothing: there are no triggers."""

    def get_data_size(self) -> int:
        pages, unused, size = (self._read_pragma(name) for name in ("page_count", "freelist_count", "page_size"))
        return (pages - unused) * size

    def get_data_file(self) -> Path | None:
        with self.connection.cursor() as cursor:
            files = {name: path for _number, name, path in cursor.execute("PRAGMA database_list").fetchall()}
        return Path(files["main"]) if files.get("main") else None

    def prefer_indexes(self) -> None:
        """Do nothing: it always does."""

    def release_pages(self, limit: int) -> int:
        if self.connection.in_atomic_block or self._read_pragma("auto_vacuum") != INCREMENTAL:
            return 0
        unused = self._read_pragma("freelist_count")
        if unused:
            with self.connection.wrap_database_errors:
                # execute() would run it for one page only, because it stops at the first row, and there are no rows.
                self.connection.connection.executescript(f"PRAGMA incremental_vacuum({limit})")
        return max(unused - self._read_pragma("freelist_count"), 0)

    def overwrite_deleted(self) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute("PRAGMA secure_delete = ON").fetchall()

    def vacuum(self, tables: Sequence[str], rewrite: bool) -> str:
        """Rewrite the file, or only empty the write-ahead log: freed pages were overwritten before."""
        with self.connection.cursor() as cursor:
            if rewrite:
                cursor.execute("VACUUM")
            [busy, *_] = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        parts = ["the write-ahead log (-wal), because another connection reads it"] * bool(busy)
        parts += ["pages of the file that were freed earlier (use --vacuum full)"] * (not rewrite)
        return " and ".join(parts)

    def _read_pragma(self, name: str) -> int:
        with self.connection.cursor() as cursor:
            return int(cursor.execute(f"PRAGMA {name}").fetchone()[0])

    def lock_transaction(self, name: str) -> None:
        """Do nothing: a transaction that writes locks the whole database."""

    def try_lock_transaction(self, name: str) -> bool:
        """Return True: the first write of the transaction locks the whole database."""
        return True

    def list_wanted_objects(self, append_only: Collection[str]) -> list[SchemaObject]:
        """Return the full-text search. There are no triggers of append-only tables."""
        table = SchemaObject("table", SEARCH_TABLE, SEARCH_TABLE, f"{CREATE_SEARCH} {REBUILD_SEARCH}")
        triggers = [
            SchemaObject("trigger", name, INBOX_TABLE, f"CREATE TRIGGER {name} {body}; {REBUILD_SEARCH}")
            for name, body in SEARCH_TRIGGERS.items()
        ]
        return [table, *triggers]

    def list_schema_objects(self) -> set[tuple[str, str, str]]:
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT type, name, tbl_name FROM sqlite_master")
            return set(cursor.fetchall())

    def list_invalid_indexes(self) -> list[tuple[str, str]]:
        """Return nothing: an index of SQLite is always valid."""
        return []

    def read_options(self) -> dict[str, Any]:
        if self.connection.is_in_memory_db():
            return {}
        with self.connection.cursor() as cursor:
            return {name: cursor.execute(f"PRAGMA {name}").fetchone()[0] for name in OPTIONS}

    def count_connections(self) -> tuple[int, int] | None:
        return None


def _insert_in_batches(cursor: Any, target: InsertTarget, rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows with statements of 100 rows, 10 rows and one row."""
    for size in BATCH_SIZES:
        count = len(rows) - len(rows) % size
        if count:
            parameters = rows[:count] if size == 1 else _merge_parameters(size, rows[:count])
            cursor.executemany(_insert_statement(target, size), parameters)
            rows = rows[count:]


def _merge_parameters(size: int, rows: Sequence[Sequence[Any]]) -> Iterator[list[Any]]:
    return (list(chain.from_iterable(rows[start : start + size])) for start in range(0, len(rows), size))


@cache
def _insert_statement(target: InsertTarget, count: int) -> str:
    many = f"VALUES {', '.join([f'({target.placeholders})'] * count)}"
    values = f"SELECT {target.placeholders}" if count == 1 else many
    # SQLite's own placeholders: Django would otherwise search the statement for its own thousands of times.
    return f"INSERT INTO {target.table} ({target.all_columns}) {values}".replace("%s", "?")
