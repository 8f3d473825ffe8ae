"""The engine of PostgreSQL. Many values are passed as arrays, so that a statement is the same for any number."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

from django.db import Error, transaction
from django.db.models import F
from django.db.models.functions import Collate

from notifications.core.databases import POSTGRES_UNREACHABLE, get_sqlstate
from notifications.storage.engine import Column, Engine, InsertTarget, SchemaObject

# COPY takes additional round trips at its beginning and end, so one INSERT is faster for up to this number of rows.
COPY_THRESHOLD = 50
LOG_CHANGES_SETTING = "klaxon.log_changes"
SPECIAL_CHARACTERS = re.compile(r"""[\s{},"\\]""")

# The migrations create the same: what they contain must never change, so it is not shared with them.
APPEND_ONLY = "klaxon_append_only"
CREATE_APPEND_ONLY = (
    f"CREATE TRIGGER {APPEND_ONLY} BEFORE UPDATE OR DELETE ON {{table}} FOR EACH ROW WHEN "
    "(coalesce(current_setting('klaxon.log_changes', true), '') = '') EXECUTE FUNCTION klaxon_refuse_log_change();"
)
INBOX_SEARCH = SchemaObject(
    "index",
    "klaxon_inbox_search",
    "klaxon_inboxitem",
    "CREATE INDEX CONCURRENTLY klaxon_inbox_search ON klaxon_inboxitem USING gin (search);",
)


class PostgresEngine(Engine):
    lock_rows = "FOR UPDATE"
    skip_locked = "FOR UPDATE SKIP LOCKED"
    can_write_in_with = True
    has_server = True
    wider_scan = 5
    # now() is the start of the transaction, which may be hours ago.
    server_time = "clock_timestamp()"
    # A subquery for each of many rows would read its table as often.
    prefers_subqueries = False
    index_options: ClassVar[Mapping[str, Any]] = {"concurrently": True}

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

    def json_array(self, *values: str) -> str:
        return f"json_build_array({', '.join(values)})"

    def json_aggregate(self, value: str) -> str:
        return f"json_agg({value})"

    def json_to_text(self, json: str) -> str:
        return f"{json}::text"

    def json_column_to_text(self, column: str) -> str:
        return f"{column}::text"

    def single_row(self, placeholders: str) -> str:
        return f"VALUES ({placeholders})"

    def insert_rows(self, target: InsertTarget, rows: Sequence[Sequence[Any]]) -> None:
        if not rows:
            return
        with self.connection.cursor() as cursor:
            if len(rows) > COPY_THRESHOLD and hasattr(cursor, "copy"):
                # Django translates the driver's errors only in the cursor methods that it wraps itself.
                with self.connection.wrap_database_errors:
                    _copy(cursor, target, rows)
            else:
                # Also with psycopg2, whose COPY reads only from files.
                cursor.execute(_insert_statement(target, len(rows)), [*chain.from_iterable(rows)])

    def insert_with_details(
        self,
        table: str,
        columns: Sequence[Column],
        details_table: str,
        key: str,
        details: Sequence[Column],
        further: tuple[str, Sequence[Any]] | None = None,
    ) -> None:
        """Insert into all tables with one statement."""
        further_sql, further_params = further or ("", ())
        names = ", ".join(column.name for column in columns)
        detail_names = ", ".join(column.name for column in details)
        aliases = [f"detail_{column.name}" for column in details]
        arrays = [f"%s::{column.kind}[]" for column in columns] + ["%s::text[]"] * len(details)
        casts = ", ".join(f"{alias}::{column.kind}" for alias, column in zip(aliases, details, strict=True))
        sql = f"""
            WITH numbered AS MATERIALIZED (
                SELECT nextval(pg_get_serial_sequence('{table}', 'id')) AS new_id, new_rows.*
                FROM unnest({", ".join(arrays)}) AS new_rows({names}, {", ".join(aliases)})
            ), written AS (
                INSERT INTO {table} (id, {names}) SELECT new_id, {names} FROM numbered
            ){f", further AS ({further_sql})" if further_sql else ""}
            INSERT INTO {details_table} ({key}, {detail_names})
            SELECT new_id, {casts} FROM numbered WHERE {aliases[0]} IS NOT NULL"""  # noqa: S608
        with self.connection.cursor() as cursor:
            cursor.execute(sql, [*(postgres_array(column.values) for column in (*columns, *details)), *further_params])

    def python_order(self, column: str) -> Any:
        """Return the order of the characters' codes; the default collation may have another."""
        return Collate(F(column), "C")

    def match_inbox_text(self, words: Sequence[str], owner: Any) -> tuple[str, list[str]]:
        """Search the generated column, whose first lexeme names the recipient."""
        key = f"@{owner}".replace("\\", "\\\\").replace("'", "''")
        query = " & ".join(f"'{word}':*" for word in words)
        # The cast does not parse the key into words. to_tsquery() changes the case of words as the column does.
        return "klaxon_inboxitem.search @@ (%s::tsquery && to_tsquery('simple', %s))", [f"'{key}'", query]

    def match_inbox_row(self, words: Sequence[str]) -> tuple[str, list[str]]:
        query = " & ".join(f"'{word}':*" for word in words)
        # The function of the operator @@. For the operator, the planner would use the index.
        return "ts_match_vq(klaxon_inboxitem.search, to_tsquery('simple', %s))", [query]

    def prefer_index(self, name: str) -> str:
        return ""

    def is_unreachable(self, error: Error) -> bool:
        state = get_sqlstate(error.__cause__)
        return state is None or state.startswith(POSTGRES_UNREACHABLE)

    @contextmanager
    def limit_lock_waits(self, seconds: float) -> Iterator[None]:
        """Open a transaction: behind a pooler, a setting of the session would outlive the block."""
        with transaction.atomic(using=self.using), self.connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [str(max(1, round(seconds * 1000)))])
            yield

    def set_log_purpose(self, purpose: str) -> None:
        """Set the setting that the triggers read, so that a pooled connection does not pass it on to others."""
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT set_config(%s, %s, true)", [LOG_CHANGES_SETTING, purpose])

    def get_data_size(self) -> int:
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT pg_database_size(current_database())")
            return int(cursor.fetchone()[0])

    def get_data_file(self) -> Path | None:
        return None

    def prefer_indexes(self) -> None:
        """Forbid to read whole tables: with a LIMIT, the planner hopes to find rows early, and then never does."""
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT set_config('enable_seqscan', 'off', true)")

    def release_pages(self, limit: int) -> int:
        """Return 0: autovacuum does it."""
        return 0

    def overwrite_deleted(self) -> None:
        """Do nothing: deleted rows stay until a vacuum."""

    def vacuum(self, tables: Sequence[str], rewrite: bool) -> str:
        quoted = ", ".join(map(self.connection.ops.quote_name, tables))
        with self.connection.cursor() as cursor:
            # The statistics contain values of the rows.
            cursor.execute(f"VACUUM ({'FULL, ' * rewrite}ANALYZE) {quoted}")
        kept = (
            "rows that a transaction of another session or of autovacuum could still see (repeat the vacuum when it "
            "has ended), the write-ahead log until it is recycled, the planner's statistics of tables that are empty "
            "now, and standby servers and backups until they are replaced"
        )
        return kept if rewrite else f"unused parts of the tables' files (use --vacuum full), {kept}"

    def lock_transaction(self, name: str) -> None:
        self._call_with_lock("pg_advisory_xact_lock", name)

    def try_lock_transaction(self, name: str) -> bool:
        return bool(self._call_with_lock("pg_try_advisory_xact_lock", name))

    def _call_with_lock(self, function: str, name: str) -> Any:
        with self.connection.cursor() as cursor:
            # Each schema is a partition with its own locks.
            cursor.execute(f"SELECT {function}(hashtext(%s), hashtext(current_schema()))", [name])
            return cursor.fetchone()[0]

    def list_wanted_objects(self, append_only: Collection[str]) -> list[SchemaObject]:
        triggers = [
            SchemaObject("trigger", APPEND_ONLY, table, CREATE_APPEND_ONLY.format(table=table)) for table in append_only
        ]
        return [*triggers, INBOX_SEARCH]

    def list_schema_objects(self) -> set[tuple[str, str, str]]:
        # A trigger that is disabled ("D") does nothing.
        sql = (
            "SELECT 'trigger', tgname::text, tgrelid::regclass::text FROM pg_trigger WHERE tgenabled <> 'D'"
            " UNION ALL SELECT 'index', indexname::text, tablename::text FROM pg_indexes"
            " WHERE schemaname = ANY (current_schemas(false))"
        )
        return set(self._fetch(sql))

    def list_invalid_indexes(self) -> list[tuple[str, str]]:
        return self._fetch(
            "SELECT indexrelid::regclass::text, indrelid::regclass::text FROM pg_index"
            " WHERE NOT (indisvalid AND indisready) AND indrelid::regclass::text LIKE 'klaxon\\_%' ORDER BY 1"
        )

    def read_options(self) -> dict[str, Any]:
        """Return nothing: ``notifications.sqlite`` is not about this database."""
        return {}

    def count_connections(self) -> tuple[int, int] | None:
        sql = "SELECT count(*), current_setting('max_connections')::int FROM pg_stat_activity"
        [(used, allowed)] = self._fetch(f"{sql} WHERE backend_type = 'client backend'")
        return used, allowed

    def _fetch(self, sql: str) -> list[Any]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())


def _copy(cursor: Any, target: InsertTarget, rows: Sequence[Sequence[Any]]) -> None:
    constants = tuple(value for _name, value in target.constants)
    with cursor.copy(f"COPY {target.table} ({target.all_columns}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row((*row, *constants))


@lru_cache(maxsize=100)
def _insert_statement(target: InsertTarget, count: int) -> str:
    values = ", ".join([f"({target.placeholders})"] * count)
    return f"INSERT INTO {target.table} ({target.all_columns}) VALUES {values}"  # noqa: S608


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
