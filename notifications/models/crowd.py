"""A chunk of recipients in one statement: users, whether they are members, their settings, and what else there may be.

By hand, since Django takes longer to compose such a query than the database to answer it.
"""

from collections.abc import Collection, Sequence
from functools import cache, lru_cache
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.models.expressions import RawSQL

from notifications.models.among import among
from notifications.models.cluster import known_condition, membership
from notifications.models.settings import UserSettings

# What tells one user's settings from another's but no gate looks at; all other columns may be alike for many.
OWN = ("id", "user", "cluster", "addresses", "language", "digest_asked_at")
SETTINGS = [field for field in UserSettings._meta.concrete_fields if field.name not in OWN]
ITS_KEY = "klaxon_crowd.its_key"
# A row: the primary key; whether there are any shared preferences, mutes and suppressions to ask for; the primary key
# of the settings and the addresses in them; the columns asked for; whether active and a member; the settings.
Row = tuple[Any, ...]
KEY, SHARED, MUTES, SUPPRESSIONS, SETTINGS_KEY, ADDRESSES, ASKED_FOR = range(7)


def read(using: str, cluster: Any, user_ids: Collection[Any], names: tuple[str, ...], active: str) -> list[Row]:
    """Those of the users who exist, in no order.

    :param names: concrete fields of the user model.
    :param active: the one that says whether a user is active; empty if all are.
    """
    connection = connections[using]
    place = UserSettings._meta.get_field("cluster").get_db_prep_value(cluster.pk, connection)
    users, of_users = _users((*names, active) if active else names, using)
    member, of_member = _member(cluster, _active(connection.vendor, bool(active)), using)
    these, keys = among(user_ids, get_user_model()._meta.pk, using)
    sql = _statement(connection.vendor, users, len(names), bool(active), member, these)
    with connection.cursor() as cursor:
        cursor.execute(sql, [*of_users, place, place, keys, *of_member, place, keys])
        return cursor.fetchall()


def _active(vendor: str, asks: bool) -> str:
    return f"{_raw(vendor)}its_activity" if asks else "TRUE"


def _raw(vendor: str) -> str:
    """SQLite's driver makes times and truths of columns, one by one; of what is computed it does not."""
    return "+" if vendor == "sqlite" else ""


@lru_cache(maxsize=100)
def _statement(vendor: str, users: str, names: int, asks: bool, member: str, these: str) -> str:
    columns = [f"its_{number}" for number in range(names)]
    given = ["its_key", *columns, *(["its_activity"] if asks else [])]
    settings = [f"{_raw(vendor)}s.{field.column}" for field in SETTINGS]
    return f"""
        WITH klaxon_crowd ({", ".join(given)}) AS ({users})
        SELECT its_key,
            EXISTS (SELECT 1 FROM klaxon_sharedpreference WHERE cluster_id = %s),
            EXISTS (SELECT 1 FROM klaxon_mute WHERE cluster_id = %s AND user_id {these}),
            EXISTS (SELECT 1 FROM klaxon_suppression), s.id, s.addresses,
            {", ".join([*columns, _active(vendor, asks), member, *settings])}
        FROM klaxon_crowd LEFT JOIN klaxon_usersettings s ON s.user_id = its_key AND s.cluster_id = %s
        WHERE its_key {these}"""  # noqa: S608 - only our own words, and what Django composed, are formatted in


def settings_from(using: str, pk: Any, values: Sequence[Any]) -> UserSettings:
    """A row of settings without what is its user's own, from the end of a row of :func:`read`."""
    connection, row = connections[using], UserSettings(pk=pk)
    for field, value, converters in zip(SETTINGS, values, _converters(using), strict=True):
        for converter in converters:
            value = converter(value, field.cached_col, connection)
        setattr(row, field.attname, value)
    return row


@cache
def _converters(using: str) -> list[list[Any]]:
    connection = connections[using]
    columns = [field.cached_col for field in SETTINGS]
    return [[*connection.ops.get_db_converters(col), *col.get_db_converters(connection)] for col in columns]


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
