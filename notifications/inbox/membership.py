"""The clusters whose items a user sees: those that the user is a member of.

With ``INBOX_OF_FORMER_MEMBERS``, users keep the items of clusters that they have left.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib.auth import get_user_model
from django.db import router
from django.db.models import QuerySet, Value

from notifications import conf
from notifications.models import InboxItem, get_cluster_model, get_members
from notifications.storage.engine import array_subquery
from notifications.storage.inbox_feed import list_clusters

# SQLite allows 500 parts of a UNION.
CLUSTERS_PER_QUERY = 100


def load_visible_clusters(user_ids: Iterable[Any], using: str | None = None) -> dict[Any, set[Any]]:
    """Return, for each of these users, the keys of the clusters whose inbox items they see.

    Clusters without items of the user are left out. It takes three queries for up to 100 clusters, regardless of the
    number of users, and those of the host's ``MEMBERS_OF``.

    :param using: the database to read; by default that which the router reads inbox items from.
    """
    using = using or router.db_for_read(InboxItem)
    visible: dict[Any, set[Any]] = {user_id: set() for user_id in user_ids}
    pairs = list_clusters(using, visible)
    if not conf.current().inbox_of_former_members:
        pairs &= _load_members(pairs)
    for user_id, cluster_id in pairs:
        visible[user_id].add(cluster_id)
    return visible


def _load_members(pairs: Iterable[tuple[Any, Any]]) -> set[tuple[Any, Any]]:
    """Return those of the pairs of user and cluster in which the user is a member."""
    users_by_cluster: dict[Any, list[Any]] = defaultdict(list)
    for user_id, cluster_id in pairs:
        users_by_cluster[cluster_id].append(user_id)
    found = set()
    clusters = list(get_cluster_model()._base_manager.filter(pk__in=users_by_cluster))
    for start in range(0, len(clusters), CLUSTERS_PER_QUERY):
        chunk = clusters[start : start + CLUSTERS_PER_QUERY]
        queries = [_query_members(chunk, number, users_by_cluster[one.pk]) for number, one in enumerate(chunk)]
        for user_id, number in queries[0].union(*queries[1:], all=True) if queries[1:] else queries[0]:
            found.add((user_id, chunk[number].pk))
    return found


def _query_members(clusters: Sequence[Any], number: int, user_ids: Sequence[Any]) -> QuerySet[Any, Any]:
    """Return the query for those of the users who are members of the cluster with this number, and the number."""
    members = get_members(clusters[number])
    users = get_user_model()._base_manager.using(members.db).filter(pk__in=members.order_by().values("pk"))
    asked = array_subquery(user_ids, get_user_model()._meta.pk, members.db)
    return users.filter(pk__in=asked).order_by().values_list("pk", Value(number))
