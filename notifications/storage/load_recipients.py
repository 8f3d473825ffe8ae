"""Load a chunk of recipients with one statement: users, their membership, settings, roles and mutes.

The statement is written by hand, because Django takes longer to compose such a query than the database to answer it.
"""

import json
from collections.abc import Collection, Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.core.exceptions import EmptyResultSet
from django.db.models import JSONField
from django.db.models.expressions import RawSQL

from notifications.models.cluster import builtin_membership_condition, get_members
from notifications.models.settings import UserSettings
from notifications.models.shared_preference import user_groups_field
from notifications.storage.engine import Engine, get_engine
from notifications.storage.in_array import in_array
from notifications.storage.insert import MAX_INSERT_ROWS

# The fields that differ between users and that no gate reads. Many users may have the same values in all others.
PERSONAL_FIELDS = ("id", "user", "cluster", "addresses", "language", "digest_asked_at")
SETTINGS_FIELDS = [field for field in UserSettings._meta.concrete_fields if field.name not in PERSONAL_FIELDS]
# Planning the statement for so few users takes longer than running it.
SMALL_CHUNK = MAX_INSERT_ROWS
USER_KEY = "klaxon_recipients.recipient_pk"
# A row has these columns: the primary key; whether there are any suppressions to look up; the primary key of the
# settings and the addresses in them; the requested columns; last, as one text, all facts that gates read. This text is
# the same for many users.
Row = tuple[Any, ...]
KEY, SUPPRESSIONS, SETTINGS_KEY, ADDRESSES, REQUESTED = range(5)
FACTS = -1
# The names of parameters: the primary key of the cluster, and the parameter of the condition on the users.
CLUSTER, KEYS = "cluster", "keys"
HAS_SHARED_PREFERENCES = "EXISTS (SELECT 1 FROM klaxon_sharedpreference WHERE cluster_id = %s)"


class RecipientQuery(NamedTuple):
    """A query for users in a cluster, without its parameters.

    :param condition: SQL that follows a column with the key of a user.
    :param is_small: whether there are at most :data:`SMALL_CHUNK` users.
    :param groups: the field of the users' groups; None if users have none.
    """

    engine: Engine
    condition: str
    is_small: bool
    groups: Any

    @property
    def uses_subqueries(self) -> bool:
        """Whether roles and mutes are looked up for each user."""
        return self.is_small or self.engine.prefers_subqueries


class SelectedColumn(NamedTuple):
    """A column of a statement and the join that it needs, if any, each with the names of its parameters."""

    column: str
    params: Sequence[str] = ()
    join: str = ""
    join_params: Sequence[str] = ()


class Statement(NamedTuple):
    """The statement, and the names of the parameters that follow those of the users and of the membership."""

    sql: str
    params: Sequence[str]


class RecipientFacts(NamedTuple):
    """The facts that gates read, as they are in JSON.

    :param has_shared_preferences: whether the cluster has any shared preferences.
    :param roles: the user's roles that have shared preferences, and perhaps others.
    :param mutes: the kind, value and end of each mute.
    :param settings: a value for each of :data:`SETTINGS_FIELDS`.
    """

    is_active: bool
    is_member: bool
    has_shared_preferences: bool
    roles: list[int]
    mutes: list[tuple[str, str, str | None]]
    settings: list[Any]


def load_recipients(
    using: str, cluster: Any, user_ids: Collection[Any], names: tuple[str, ...], active: str
) -> list[Row]:
    """Return a row for each of the users that exists, in no particular order.

    :param names: the requested columns: concrete fields of the user model.
    :param active: the field that says whether a user is active; empty if all users are.
    """
    engine = get_engine(using)
    connection = engine.connection
    users, user_params = _users((*names, active) if active else names, using)
    membership_sql, membership_params = _membership(cluster, "recipient_is_active" if active else "TRUE", using)
    condition, keys = in_array(user_ids, get_user_model()._meta.pk, using)
    query = RecipientQuery(engine, condition, len(user_ids) <= SMALL_CHUNK, user_groups_field())
    statement = _build_statement(query, users, len(names), bool(active), membership_sql)
    cluster_id = UserSettings._meta.get_field("cluster").get_db_prep_value(cluster.pk, connection)
    values = {CLUSTER: cluster_id, KEYS: keys}
    with connection.cursor() as cursor:
        params = [values[name] for name in statement.params]
        cursor.execute(statement.sql, [*user_params, *membership_params, *params])
        return cursor.fetchall()


@lru_cache(maxsize=100)
def _build_statement(query: RecipientQuery, users: str, names: int, has_active: bool, membership_sql: str) -> Statement:
    engine, roles, mutes = query.engine, _build_roles(query), _build_mutes(query)
    requested = [f"recipient_{number}" for number in range(names)]
    columns = ["recipient_pk", *requested, *(["recipient_is_active"] if has_active else [])]
    settings = [
        engine.json_column_to_text(f"s.{field.column}") if isinstance(field, JSONField) else f"s.{field.column}"
        for field in SETTINGS_FIELDS
    ]
    is_active = "recipient_is_active" if has_active else "TRUE"
    facts = (is_active, membership_sql, HAS_SHARED_PREFERENCES, roles.column, mutes.column, *settings)
    sql = f"""
        WITH klaxon_recipients ({", ".join(columns)}) AS ({users})
        SELECT recipient_pk, EXISTS (SELECT 1 FROM klaxon_suppression), s.id, s.addresses,
            {", ".join([*requested, engine.json_to_text(engine.json_array(*facts))])}
        FROM klaxon_recipients
        LEFT JOIN klaxon_usersettings s ON s.user_id = recipient_pk AND s.cluster_id = %s {roles.join} {mutes.join}
        WHERE recipient_pk {query.condition}"""  # noqa: S608 - only constants and SQL that Django composed are formatted in
    # In the order of the statement: shared preferences, roles, mutes, settings, the joins, the users.
    params = (CLUSTER, *roles.params, *mutes.params, CLUSTER, *roles.join_params, *mutes.join_params, KEYS)
    return Statement(sql, params)


def _build_roles(query: RecipientQuery) -> SelectedColumn:
    """Return the column of the user's roles with preferences in the cluster; for a small chunk, of all their roles."""
    through, quote = query.groups, query.engine.connection.ops.quote_name
    if through is None:
        return SelectedColumn("NULL")
    user, group = f"g.{quote(through.m2m_column_name())}", f"g.{quote(through.m2m_reverse_name())}"
    table = f"{quote(through.m2m_db_table())} g"
    if query.is_small:
        return _aggregate_rows(query, "recipient_roles", group, f"{table} WHERE", user, ())
    shared = f"JOIN klaxon_sharedpreference p ON p.group_id = {group} WHERE p.cluster_id = %s AND"
    return _aggregate_rows(query, "recipient_roles", group, f"{table} {shared}", user, (CLUSTER,))


def _build_mutes(query: RecipientQuery) -> SelectedColumn:
    """Return the column of the kind, value and end of each of the user's mutes in the cluster."""
    mute = query.engine.json_array("kind", "value", "until")
    source = "klaxon_mute WHERE cluster_id = %s AND"
    return _aggregate_rows(query, "recipient_mutes", mute, source, "user_id", (CLUSTER,))


def _aggregate_rows(
    query: RecipientQuery, name: str, value: str, source: str, user: str, params: tuple[str, ...]
) -> SelectedColumn:
    """Return a column that contains the rows of each user as one JSON text.

    It is a text because SQLite does not always recognise an array within another array.
    """
    rows = query.engine.json_to_text(query.engine.json_aggregate(value))
    if query.uses_subqueries:
        sql = f"(SELECT {rows} FROM {source} {user} = recipient_pk)"  # noqa: S608
        return SelectedColumn(sql, params)
    join = f"""
        LEFT JOIN (
            SELECT {rows} AS {name}, {user} AS {name}_of FROM {source} {user} {query.condition}
            GROUP BY {user}
        ) AS {name}_all ON {name}_of = recipient_pk"""  # noqa: S608 - only constants and column names are formatted in
    return SelectedColumn(name, (), join, (*params, KEYS))


def parse_facts(row: Row) -> RecipientFacts:
    """Return the facts in the last column of a row."""
    is_active, is_member, has_shared, roles, mutes, *settings = json.loads(row[FACTS])
    return RecipientFacts(
        is_active, is_member, has_shared, json.loads(roles or "[]"), json.loads(mutes or "[]"), settings
    )


def build_settings(pk: Any, values: Sequence[Any]) -> UserSettings:
    """Return a row of settings with values for :data:`SETTINGS_FIELDS` and without :data:`PERSONAL_FIELDS`."""
    row = UserSettings(pk=pk)
    for field, value in zip(SETTINGS_FIELDS, values, strict=True):
        setattr(row, field.attname, json.loads(value) if isinstance(field, JSONField) else field.to_python(value))
    return row


def _membership(cluster: Any, is_active: str, using: str) -> tuple[str, Sequence[Any]]:
    """Return the SQL condition that the user of a row is a member, as ``MEMBERS_OF`` defines it."""
    if builtin := builtin_membership_condition(cluster, USER_KEY, is_active, using):
        return builtin
    key = RawSQL(USER_KEY, (), output_field=get_user_model()._meta.pk)  # noqa: S611 - a constant
    members = get_members(cluster).order_by().filter(pk=key).query.exists()
    try:
        sql, params = members.get_compiler(using).as_sql()
    except EmptyResultSet:
        return "1 = 0", ()
    return f"EXISTS ({sql})", params


@cache
def _users(names: tuple[str, ...], using: str) -> tuple[str, Sequence[Any]]:
    users = get_user_model()._default_manager.using(using).order_by().values_list("pk", *names)
    return users.query.get_compiler(using).as_sql()
