"""A chunk of recipients in one statement: users, whether they are members, their settings, and what else there may be.

By hand, since Django takes longer to compose such a query than the database to answer it.
"""

import json
from collections.abc import Collection, Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.models import JSONField
from django.db.models.expressions import RawSQL

from notifications.models.cluster import known_condition, membership
from notifications.models.settings import UserSettings
from notifications.models.shared_preference import links
from notifications.storage.in_array import in_array
from notifications.storage.insert import MAX_INSERT_ROWS

# What tells one user's settings from another's but no gate looks at; all other columns may be alike for many.
OWN = ("id", "user", "cluster", "addresses", "language", "digest_asked_at")
SETTINGS = [field for field in UserSettings._meta.concrete_fields if field.name not in OWN]
ITS_KEY = "klaxon_crowd.its_key"
# A row: the primary key; whether there are any suppressions to ask for; the primary key of the settings and the
# addresses in them; the columns asked for; last, as one text, all that gates look at. Of many users it is the same.
Row = tuple[Any, ...]
KEY, SUPPRESSIONS, SETTINGS_KEY, ADDRESSES, ASKED_FOR = range(5)
ABOUT = -1
# What makes an array of values, what makes one of many rows, and what makes a text of it.
JSON = {
    "sqlite": ("json_array", "json_group_array", " || ''"),
    "postgresql": ("json_build_array", "json_agg", "::text"),
}
SHARES = "EXISTS (SELECT 1 FROM klaxon_sharedpreference WHERE cluster_id = %s)"


class Asked(NamedTuple):
    """Of which users, by a condition with its parameter, and in which cluster.

    :param few: whether they are a handful, of whom it takes longer to plan a statement than to do it.
    """

    using: str
    place: Any
    these: str
    keys: Any
    few: bool

    @property
    def each(self) -> bool:
        """Whether roles and mutes are looked up user by user; for many PostgreSQL would read a table each time."""
        return self.few or connections[self.using].vendor == "sqlite"


class Piece(NamedTuple):
    """A column of a statement, and the join that it takes, if any; each with its parameters."""

    column: str
    params: Sequence[Any] = ()
    join: str = ""
    join_params: Sequence[Any] = ()


class About(NamedTuple):
    """What gates look at, as JSON has it.

    :param shares: whether the cluster has preferences that users share.
    :param roles: the user's that have, and perhaps others.
    :param mutes: kind, value and end of each.
    :param settings: a value for each of :data:`SETTINGS`.
    """

    is_active: bool
    is_member: bool
    shares: bool
    roles: list[int]
    mutes: list[tuple[str, str, str | None]]
    settings: list[Any]


def read(using: str, cluster: Any, user_ids: Collection[Any], names: tuple[str, ...], active: str) -> list[Row]:
    """Those of the users who exist, in no order.

    :param names: concrete fields of the user model.
    :param active: the one that says whether a user is active; empty if all are.
    """
    connection = connections[using]
    place = UserSettings._meta.get_field("cluster").get_db_prep_value(cluster.pk, connection)
    users, of_users = _users((*names, active) if active else names, using)
    member, of_member = _member(cluster, "its_activity" if active else "TRUE", using)
    these, keys = in_array(user_ids, get_user_model()._meta.pk, using)
    asked = Asked(using, place, these, keys, len(user_ids) <= MAX_INSERT_ROWS)
    roles, mutes = _roles(asked), _mutes(asked)
    extra = (member, SHARES, roles.column, mutes.column)
    sql = _statement(connection.vendor, users, len(names), bool(active), extra, roles.join + mutes.join, these)
    params = [*of_users, *of_member, place, *roles.params, *mutes.params, place]
    with connection.cursor() as cursor:
        cursor.execute(sql, [*params, *roles.join_params, *mutes.join_params, keys])
        return cursor.fetchall()


@lru_cache(maxsize=100)
def _statement(vendor: str, users: str, names: int, asks: bool, extra: tuple[str, ...], joins: str, these: str) -> str:
    columns = [f"its_{number}" for number in range(names)]
    given = ["its_key", *columns, *(["its_activity"] if asks else [])]
    array, _together, text = JSON[vendor]
    # On SQLite these are texts already.
    text = "" if vendor == "sqlite" else text
    choices = [f"s.{field.column}{text if isinstance(field, JSONField) else ''}" for field in SETTINGS]
    facts = ["its_activity" if asks else "TRUE", *extra, *choices]
    return f"""
        WITH klaxon_crowd ({", ".join(given)}) AS ({users})
        SELECT its_key, EXISTS (SELECT 1 FROM klaxon_suppression), s.id, s.addresses,
            {", ".join([*columns, f"{array}({', '.join(facts)}){text}"])}
        FROM klaxon_crowd LEFT JOIN klaxon_usersettings s ON s.user_id = its_key AND s.cluster_id = %s {joins}
        WHERE its_key {these}"""  # noqa: S608 - only our own words, and what Django composed, are formatted in


def _roles(asked: Asked) -> Piece:
    """Those of a user's roles that have preferences in the cluster; of a handful of users all that they have."""
    through, quoted = links(), connections[asked.using].ops.quote_name
    if through is None:
        return Piece("NULL")
    user, group = f"g.{quoted(through.m2m_column_name())}", f"g.{quoted(through.m2m_reverse_name())}"
    table = f"{quoted(through.m2m_db_table())} g"
    if asked.few:
        return _gathered(asked, "its_roles", group, f"{table} WHERE", user, ())
    shared = f"JOIN klaxon_sharedpreference p ON p.group_id = {group} WHERE p.cluster_id = %s AND"
    return _gathered(asked, "its_roles", group, f"{table} {shared}", user, (asked.place,))


def _mutes(asked: Asked) -> Piece:
    """Kind, value and end of each of a user's mutes in the cluster."""
    one = f"{JSON[connections[asked.using].vendor][0]}(kind, value, until)"
    return _gathered(asked, "its_mutes", one, "klaxon_mute WHERE cluster_id = %s AND", "user_id", (asked.place,))


def _gathered(asked: Asked, name: str, what: str, those: str, user: str, params: tuple[Any, ...]) -> Piece:
    """Many rows of each user as one text. (Within another array SQLite does not always know that it is one itself.)"""
    _array, together, text = JSON[connections[asked.using].vendor]
    if asked.each:
        return Piece(f"(SELECT {together}({what}){text} FROM {those} {user} = its_key)", params)  # noqa: S608
    join = f"""
        LEFT JOIN (
            SELECT {together}({what}){text} AS {name}, {user} AS {name}_of FROM {those} {user} {asked.these}
            GROUP BY {user}
        ) AS {name}_all ON {name}_of = its_key"""  # noqa: S608 - only our own words, and names of columns, are formatted in
    return Piece(name, (), join, (*params, asked.keys))


def about(row: Row) -> About:
    """What stands in the last column of a row."""
    is_active, is_member, shares, roles, mutes, *values = json.loads(row[ABOUT])
    return About(is_active, is_member, shares, json.loads(roles or "[]"), json.loads(mutes or "[]"), values)


def settings_from(pk: Any, values: Sequence[Any]) -> UserSettings:
    """A row of settings without what is its user's own."""
    row = UserSettings(pk=pk)
    for field, value in zip(SETTINGS, values, strict=True):
        setattr(row, field.attname, json.loads(value) if isinstance(field, JSONField) else field.to_python(value))
    return row


def _member(cluster: Any, is_active: str, using: str) -> tuple[str, Sequence[Any]]:
    """The condition that the user of a row is a member, as ``MEMBERS_OF`` has it."""
    if known := known_condition(cluster, ITS_KEY, is_active, using):
        return known
    key = RawSQL(ITS_KEY, (), output_field=get_user_model()._meta.pk)  # noqa: S611 - our own word
    members = membership(cluster).order_by().filter(pk=key).query.exists()
    try:
        sql, params = members.get_compiler(using).as_sql()
    except EmptyResultSet:
        return "1 = 0", ()
    return f"EXISTS ({sql})", params


@cache
def _users(names: tuple[str, ...], using: str) -> tuple[str, Sequence[Any]]:
    users = get_user_model()._default_manager.using(using).order_by().values_list("pk", *names)
    return users.query.get_compiler(using).as_sql()
