"""Rows that belong to a cluster. A site with only the default cluster does not need to name it."""

from collections.abc import Collection
from typing import Any, TypeVar

from django.db import models

from notifications.models.cluster import Cluster, cluster_or_default, get_cluster_model

Row = TypeVar("Row", bound=models.Model, covariant=True)


class ClusterScopedQuerySet(models.QuerySet[Row]):
    """Looks up rows in the default cluster if neither the lookups nor the defaults name a cluster."""

    def get_or_create(self, defaults: Any = None, **lookups: Any) -> tuple[Row, bool]:
        return super().get_or_create(defaults, **_add_cluster(lookups, defaults))

    def update_or_create(self, defaults: Any = None, create_defaults: Any = None, **lookups: Any) -> tuple[Row, bool]:
        lookups = _add_cluster(lookups, defaults, create_defaults)
        return super().update_or_create(defaults, create_defaults, **lookups)


def _add_cluster(lookups: dict[str, Any], *defaults: Any) -> dict[str, Any]:
    """Add the default cluster to lookups that could otherwise find the user's row in another cluster."""
    names = {*lookups, *(name for values in defaults for name in values or ())}
    is_specific = any(name.split("__")[0] in ("cluster", "cluster_id", "id", "pk") for name in names)
    return lookups if is_specific else {**lookups, "cluster": cluster_or_default(None)}


class ClusterScoped(models.Model):
    """A row of one cluster, by default of the default cluster.

    Saving it without a cluster raises :class:`~notifications.exceptions.InvalidCluster` if the site has its own cluster
    model, because there is no default then.
    """

    cluster: Any
    cluster_id: Any

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.cluster_id is None:
            self.cluster = cluster_or_default(None)
        super().save(*args, **kwargs)

    def clean_fields(self, exclude: Collection[str] | None = None) -> None:
        if self.cluster_id is None and "cluster" not in (exclude or ()) and get_cluster_model() is Cluster:
            self.cluster = cluster_or_default(None)
        super().clean_fields(exclude)
