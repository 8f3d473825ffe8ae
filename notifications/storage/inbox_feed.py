"""Statements about the inboxes of users: their revisions, their unread items and their clusters."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.apps import apps
from django.contrib.auth import get_user_model

from notifications.storage.engine import array_subquery, get_engine, prepare_time

FEED, ITEM = "klaxon_inboxfeed", "klaxon_inboxitem"
# The condition of the partial index klaxon_inbox_unread, word for word.
UNREAD_SQL = "read_at IS NULL AND archived_at IS NULL"


class UnreadCounts(NamedTuple):
    """The revisions and the numbers of unread items of some users, as one statement has read them.

    :param revisions: by user. Users without a feed are missing.
    :param unread: by user and cluster. Pairs without unread items are missing.
    """

    revisions: dict[Any, int]
    unread: dict[tuple[Any, Any], int]


def advance(using: str, user_ids: Iterable[Any]) -> dict[Any, int]:
    """Increase the revisions of the feeds of these users, and lock the feeds until the transaction ends.

    The rows are locked in the order of the users, so that transactions which advance once cannot deadlock. Returns the
    new revisions by user.
    """
    users, params = _select_users(using, user_ids)
    sql = f"""
        WITH users(changed_id) AS ({users})
        INSERT INTO {FEED} (user_id, revision) SELECT changed_id, 1 FROM users WHERE TRUE ORDER BY changed_id
        ON CONFLICT (user_id) DO UPDATE SET revision = {FEED}.revision + 1
        RETURNING user_id, revision"""  # noqa: S608 - constant SQL
    to_user = _get_user_key().to_python
    return {to_user(user_id): revision for user_id, revision in _fetch(using, sql, params)}


def count_unread(using: str, user_ids: Sequence[Any], now: datetime) -> UnreadCounts:
    """Return the revisions and the numbers of unread items of these users, of the same snapshot."""
    users, params = _select_users(using, user_ids)
    engine = get_engine(using)
    # One statement, so that a revision belongs to its numbers. The first part has the revisions. SQLite would use an
    # index that has the order of the groups, and read each item.
    sql = f"""
        WITH users(asked_id) AS ({users})
        SELECT user_id, NULL AS cluster_id, revision FROM {FEED} WHERE user_id IN (SELECT asked_id FROM users)
        UNION ALL
        SELECT recipient_id, cluster_id, COUNT(*) FROM {ITEM} {engine.prefer_index("klaxon_inbox_unread")}
        WHERE recipient_id IN (SELECT asked_id FROM users) AND {UNREAD_SQL}
            AND (snoozed_until IS NULL OR snoozed_until <= %s)
        GROUP BY recipient_id, cluster_id"""  # noqa: S608
    to_user, to_cluster = _get_user_key().to_python, _get_cluster_key().to_python
    counts = UnreadCounts({}, {})
    for user_id, cluster_id, number in _fetch(using, sql, [*params, prepare_time(engine.connection, now)]):
        if cluster_id is None:
            counts.revisions[to_user(user_id)] = number
        else:
            counts.unread[to_user(user_id), to_cluster(cluster_id)] = number
    return counts


def list_clusters(using: str, user_ids: Iterable[Any]) -> set[tuple[Any, Any]]:
    """Return the clusters of the inbox items of these users, as pairs of user and cluster.

    It reads one index entry for each pair, and not one for each item.
    """
    users, params = _select_users(using, user_ids)
    first = f"SELECT i.cluster_id FROM {ITEM} i WHERE i.recipient_id = {{user}}"  # noqa: S608
    order = "ORDER BY i.cluster_id LIMIT 1"
    sql = f"""
        WITH RECURSIVE users(asked_id) AS ({users}), found(user_id, cluster_id) AS (
            SELECT asked_id, ({first.format(user="asked_id")} {order}) FROM users
            UNION ALL
            SELECT f.user_id, ({first.format(user="f.user_id")} AND i.cluster_id > f.cluster_id {order})
            FROM found f WHERE f.cluster_id IS NOT NULL
        )
        SELECT user_id, cluster_id FROM found WHERE cluster_id IS NOT NULL"""  # noqa: S608
    to_user, to_cluster = _get_user_key().to_python, _get_cluster_key().to_python
    return {(to_user(user_id), to_cluster(cluster_id)) for user_id, cluster_id in _fetch(using, sql, params)}


def _select_users(using: str, user_ids: Iterable[Any]) -> tuple[str, list[Any]]:
    query = array_subquery(user_ids, _get_user_key(), using)
    return query.sql, list(query.params)


def _fetch(using: str, sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
    with get_engine(using).connection.cursor() as cursor:
        cursor.execute(sql, params)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _get_user_key() -> Any:
    return get_user_model()._meta.pk


def _get_cluster_key() -> Any:
    return apps.get_model("klaxon", "InboxItem")._meta.get_field("cluster").target_field
