"""What the statements of :mod:`notifications.storage` and of the models need to know about their database.

Each statement is written once, for both databases. Where PostgreSQL and SQLite differ, the statement takes the
differing part from the engine of its database, so that no other code asks which database it is.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from django.db import Error, connections
from django.db.models import CharField
from django.db.models.expressions import RawSQL
from django.utils.module_loading import import_string

ENGINES = {
    "postgresql": "notifications.storage.postgres.PostgresEngine",
    "sqlite": "notifications.storage.sqlite.SQLiteEngine",
}


# The types of values that the driver accepts as they are.
KNOWN_TYPES = frozenset((int, str))
# The SQL of values that InsertTarget accepts as constants.
LITERALS = {None: "NULL", "": "''", 0: "0"}


class InsertTarget(NamedTuple):
    """The table and columns of an INSERT of many rows.

    :param columns: the columns whose values the rows contain.
    :param constants: further columns, each with the value that all rows have: None, an empty text or 0.
    """

    table: str
    columns: tuple[str, ...]
    constants: tuple[tuple[str, Any], ...] = ()

    @property
    def all_columns(self) -> str:
        return ", ".join([*self.columns, *(name for name, _value in self.constants)])

    @property
    def placeholders(self) -> str:
        """The values of one row."""
        return ", ".join([*["%s"] * len(self.columns), *(LITERALS[value] for _name, value in self.constants)])


class Column(NamedTuple):
    """A column of :meth:`Engine.insert_with_details`: its name, its database type, and a value for each row."""

    name: str
    kind: str
    values: Sequence[Any]


class SchemaObject(NamedTuple):
    """Something that a migration creates by SQL of its own.

    :param kind: ``"index"``, ``"table"`` or ``"trigger"``.
    :param table: the table that it belongs to.
    :param statement: the SQL that creates it.
    """

    kind: str
    name: str
    table: str
    statement: str


@dataclass(frozen=True)
class Engine(ABC):
    """The interface to the SQL of one database. Get an instance from :func:`get_engine`.

    :param using: the alias of the database.
    """

    using: str

    lock_rows: ClassVar[str]
    """The clause that ends a SELECT and locks its rows; empty if only one transaction can write at a time."""

    skip_locked: ClassVar[str]
    """The same as :attr:`lock_rows`, but the SELECT leaves out rows that another transaction has locked."""

    can_write_in_with: ClassVar[bool]
    """Whether WITH can contain an INSERT, and values can be cast with ``::type``."""

    prefers_subqueries: ClassVar[bool]
    """Whether a subquery that runs for each of many rows is faster than a join with all its results."""

    wider_scan: ClassVar[int]
    """How many times as many items a search of the inbox may read one by one, if a page then probably is full."""

    has_server: ClassVar[bool]
    """Whether a connection leads to a server, so that an open one can break while the database is available."""

    server_time: ClassVar[str | None]
    """The expression of the server's present time; None if the database uses the clock of this machine."""

    index_options: ClassVar[Mapping[str, Any]]
    """The arguments of ``Index.create_sql()`` with which the table can be used while the index is created."""

    @property
    def connection(self) -> Any:
        """The connection of this thread."""
        return connections[self.using]

    @abstractmethod
    def unlocked_condition(self, table: str, ids: str) -> str:
        """Return the end of a WHERE clause that leaves out rows which another transaction has locked.

        :param ids: the subquery that returns the ids of all rows that the statement may change.
        """

    @abstractmethod
    def row_source(self, rows: Sequence[Sequence[Any]], types: Sequence[str]) -> tuple[str, list[Any]]:
        """Return the query that selects these rows, and its parameters.

        :param rows: at least one row of values for the driver; times need ``prepare_time()``.
        :param types: the PostgreSQL types of the columns.
        """

    @abstractmethod
    def mapping_source(self, mapping: Mapping[str, str], key: str, value: str) -> tuple[str, list[Any]]:
        """Return what follows FROM to select the items of a mapping in its order, and its parameters.

        :param key: the name of the column of the keys.
        :param value: the name of the column of the values.
        """

    @abstractmethod
    def in_array(self, kind: str) -> str:
        """Return the condition that follows a column and is true for the values of an array, which is one parameter.

        :param kind: the database type of the column.
        """

    @abstractmethod
    def array_rows(self, kind: str) -> str:
        """Return the query that selects the values of an array, which is one parameter."""

    @abstractmethod
    def array_parameter(self, values: Sequence[Any]) -> Any:
        """Return the parameter for :meth:`in_array` and :meth:`array_rows`.

        :param values: numbers, texts or values that the driver accepts.
        """

    @abstractmethod
    def json_array(self, *values: str) -> str:
        """Return the expression of a JSON array of these expressions."""

    @abstractmethod
    def json_aggregate(self, value: str) -> str:
        """Return the aggregate function that makes a JSON array of an expression's value in each row."""

    @abstractmethod
    def json_to_text(self, json: str) -> str:
        """Return the expression of the text of a JSON array that a function has made."""

    @abstractmethod
    def json_column_to_text(self, column: str) -> str:
        """Return the expression of the text of a JSON column."""

    @abstractmethod
    def single_row(self, placeholders: str) -> str:
        """Return what follows ``INSERT INTO …`` to insert one row."""

    @abstractmethod
    def insert_rows(self, target: InsertTarget, rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows of values for the driver as fast as the driver allows, without returning their keys."""

    @abstractmethod
    def insert_with_details(
        self,
        table: str,
        columns: Sequence[Column],
        details_table: str,
        key: str,
        details: Sequence[Column],
        further: tuple[str, Sequence[Any]] | None = None,
    ) -> None:
        """Insert rows, and for some of them a row in another table that refers to them.

        :param columns: the columns of the table, without its primary key ``id``; there is at least one row.
        :param key: the column of the other table that refers to ``id``.
        :param details: the other columns of that table. Rows without details have None in all of them.
        :param further: an INSERT of other rows with its parameters. On PostgreSQL it is a part of the same statement.
        """

    @abstractmethod
    def python_order(self, column: str) -> Any:
        """Return the ordering of a column of texts that agrees with Python's, for ``order_by()``."""

    @abstractmethod
    def match_inbox_text(self, words: Sequence[str], owner: Any) -> tuple[str, list[str]]:
        """Return the condition of a user's inbox items that contain all these words, and its parameters.

        :param words: letters and digits. Each may be the beginning of a word of the item.
        :param owner: the primary key of the user, as the database stores it.
        """

    @abstractmethod
    def match_inbox_row(self, words: Sequence[str]) -> tuple[str, list[str]]:
        """Return the condition of inbox items that contain all these words, and its parameters, without an index."""

    @abstractmethod
    def prefer_index(self, name: str) -> str:
        """Return what follows the name of a table in ``FROM`` so that this index is used, if the database needs it."""

    @abstractmethod
    def is_unreachable(self, error: Error) -> bool:
        """Return whether an error means that the database cannot be reached, not that it refuses a statement."""

    @abstractmethod
    def limit_lock_waits(self, seconds: float) -> AbstractContextManager[None]:
        """Let statements of the block fail if they wait longer than ``seconds`` for a lock.

        :raises django.db.Error: if the database cannot be reached.
        """

    @abstractmethod
    def set_log_purpose(self, purpose: str) -> None:
        """Let this transaction change rows of the log for a purpose, or no longer if the purpose is empty."""

    @abstractmethod
    def get_data_size(self) -> int:
        """Return how many bytes the database takes, without space that it can use again if that is known."""

    @abstractmethod
    def get_data_file(self) -> Path | None:
        """Return the file of the database; None if it is in memory, or on a server."""

    @abstractmethod
    def prefer_indexes(self) -> None:
        """Let the statements of this transaction use indexes wherever they can."""

    @abstractmethod
    def release_pages(self, limit: int) -> int:
        """Give at most ``limit`` unused pages of the file back to the disk; return how many there were."""

    @abstractmethod
    def overwrite_deleted(self) -> None:
        """Let this connection overwrite what it deletes, if the database can."""

    @abstractmethod
    def vacuum(self, tables: Sequence[str], rewrite: bool) -> str:
        """Remove deleted rows from the files, outside of a transaction.

        :param rewrite: whether to write the tables anew, so that nothing is left. They are locked meanwhile.
        :return: a sentence that says where deleted rows may still be; empty if nowhere.
        """

    @abstractmethod
    def lock_transaction(self, name: str) -> None:
        """Wait until no other transaction of this partition holds the lock, and hold it until the transaction ends."""

    @abstractmethod
    def try_lock_transaction(self, name: str) -> bool:
        """Take the same lock without waiting; return whether no other transaction holds it."""

    @abstractmethod
    def list_wanted_objects(self, append_only: Collection[str]) -> list[SchemaObject]:
        """Return what migrations create by SQL of their own.

        :param append_only: the tables whose rows are added and never changed.
        """

    @abstractmethod
    def list_schema_objects(self) -> set[tuple[str, str, str]]:
        """Return the kind, the name and the table of all triggers, indexes and tables that exist."""

    @abstractmethod
    def list_invalid_indexes(self) -> list[tuple[str, str]]:
        """Return the name and the table of each index of Klaxon that exists, but that the database does not use."""

    @abstractmethod
    def read_options(self) -> dict[str, Any]:
        """Return the options of the connection that ``notifications.sqlite`` sets; empty if it sets none."""

    @abstractmethod
    def count_connections(self) -> tuple[int, int] | None:
        """Return how many connections to the server are open, and how many it allows; None without a server."""


def get_engine(using: str) -> Engine:
    """Return the engine of a database.

    Klaxon's tables can only be in PostgreSQL and SQLite; a check reports others. A database of another kind gets the
    engine of SQLite, because code of the host may ask the clock for the time of such a database.
    """
    # The settings, because a connection is looked up for each thread and task, which takes longer.
    return _load_engine(using, connections.settings[using]["ENGINE"])


@cache
def _load_engine(using: str, backend: str) -> Engine:
    # By name, because the implementations import this module.
    engine: Engine = import_string(ENGINES.get(connections[using].vendor, ENGINES["sqlite"]))(using)
    return engine


def in_list(condition: str, values: Collection[Any]) -> tuple[str, list[Any]]:
    """Return a condition with its parameters, both empty if there are no values."""
    if not values:
        return "", []
    return f"{condition} ({', '.join(['%s'] * len(values))})", list(values)


def prepare_time(connection: Any, value: datetime | None) -> Any:
    """Return a time for the driver."""
    return connection.ops.adapt_datetimefield_value(value)


def read_time(value: Any) -> datetime | None:
    """Return a time that a cursor has returned, aware. SQLite returns it in UTC without a zone, or as a text."""
    found = datetime.fromisoformat(value) if isinstance(value, str) else value
    return found.replace(tzinfo=UTC) if found is not None and found.tzinfo is None else found


def fetch_ids(engine: Engine, sql: str, params: Sequence[Any]) -> set[int]:
    """Run a statement and return the first column of its rows."""
    with engine.connection.cursor() as cursor:
        cursor.execute(sql, params)
        return set(map(itemgetter(0), cursor.fetchall()))


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
    known, given = KNOWN_TYPES if type(field) is CharField else KNOWN_TYPES - {str}, [*values]
    if not known.issuperset(map(type, given)):
        given = [field.get_db_prep_value(value, engine.connection) for value in given]
    return engine.array_parameter(given)
