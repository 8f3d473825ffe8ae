"""Rows that belong to a cluster. A site that has only the default cluster need not name it."""

from collections.abc import Collection
from typing import Any, TypeVar

from django.db import models

from notifications.models.cluster import Cluster, cluster_model, given_or_default

Row = TypeVar("Row", bound=models.Model, covariant=True)


class InAClusterQuerySet(models.QuerySet[Row]):
    """Looks rows up in the default cluster where neither the lookups nor the defaults name a cluster."""

    def get_or_create(self, defaults: Any = None, **lookups: Any) -> tuple[Row, bool]:
        return super().get_or_create(defaults, **_add_cluster(lookups, defaults))

    def update_or_create(self, defaults: Any = None, create_defaults: Any = None, **lookups: Any) -> tuple[Row, bool]:
        named = _add_cluster(lookups, defaults, create_defaults)
        return super().update_or_create(defaults, create_defaults, **named)


def _add_cluster(lookups: dict[str, Any], *defaults: Any) -> dict[str, Any]:
    """Without it a user's row of some other cluster might be found."""
    named = {*lookups, *(name for given in defaults for name in given or ())}
    names_a_row = any(name.split("__")[0] in ("cluster", "cluster_id", "id", "pk") for name in named)
    return lookups if names_a_row else {**lookups, "cluster": given_or_default(None)}


class InACluster(models.Model):
    """A row of one cluster; of the default one where none was given.

    Saving it without a cluster raises :class:`~notifications.exceptions.InvalidCluster` on a site that has a cluster
    model of its own, where there is no default.
    """

    cluster: Any
    cluster_id: Any

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.cluster_id is None:
            self.cluster = given_or_default(None)
        super().save(*args, **kwargs)

    def clean_fields(self, exclude: Collection[str] | None = None) -> None:
        if self.cluster_id is None and "cluster" not in (exclude or ()) and cluster_model() is Cluster:
            self.cluster = given_or_default(None)
        super().clean_fields(exclude)
