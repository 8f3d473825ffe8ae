"""The clusters whose preferences a user can open."""

from collections.abc import Iterator
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Q

from notifications import conf
from notifications.models import Cluster, InboxItem, TopicSubscription, UserSettings, get_cluster_model, get_members

MAX_CLUSTERS = 20


def find_cluster(user: Any, key: str) -> Any:
    """Return the cluster with this primary key; None unless the user is an active member of it."""
    try:
        cluster = get_cluster_model()._default_manager.filter(pk=key).first()
    except (ValueError, ValidationError):
        return None
    return cluster if cluster is not None and is_member(user, cluster) else None


def is_member(user: Any, cluster: Any) -> bool:
    """Return whether a user is an active member of a cluster."""
    return user.is_active and get_members(cluster).filter(pk=user.pk).exists()


def list_clusters(user: Any) -> list[Any]:
    """Return the clusters of a user, at most 20.

    If ``MEMBERS_OF`` is the site's own, these are the ones that the user has something in, or all if there are few:
    from a user, Klaxon cannot get to clusters.
    """
    if not Cluster._meta.swapped and not Cluster.objects.exists():
        # A site without tenants has no cluster before the first notification.
        return [Cluster.objects.default_or_unsaved()]
    if not Cluster._meta.swapped and conf.current().members_of == conf.Conf.members_of:
        listed = Q(open_to_all=True) | Q(pk__in=Cluster.objects.filter(members=user).values("pk"))
        return list(Cluster.objects.filter(listed).order_by("name", "pk")[:MAX_CLUSTERS]) if user.is_active else []
    return [cluster for cluster in _list_candidates(user) if is_member(user, cluster)]


def _list_candidates(user: Any) -> list[Any]:
    clusters = get_cluster_model()._default_manager.order_by("pk")
    found = list(clusters[: MAX_CLUSTERS + 1])
    return found if len(found) <= MAX_CLUSTERS else list(clusters.filter(pk__in=set(_find_keys(user)))[:MAX_CLUSTERS])


def _find_keys(user: Any) -> Iterator[Any]:
    rows = (
        UserSettings.objects.filter(user=user),
        TopicSubscription.objects.filter(user=user),
        InboxItem.objects.of(user).order_by(),
    )
    for owned in rows:
        yield from owned.values_list("cluster", flat=True).distinct()[:MAX_CLUSTERS]
