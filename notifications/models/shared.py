"""Preferences of a role or of a whole cluster, for all who have not chosen themselves."""

from collections.abc import Collection
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.utils.translation import gettext_lazy as _

from notifications.models.among import these
from notifications.models.choices import Choices


def _users_of_a_group() -> str | None:
    """The name under which a group knows its users; None where the host's users have no groups."""
    try:
        groups = get_user_model()._meta.get_field("groups")
    except FieldDoesNotExist:
        return None
    return groups.related_query_name() if getattr(groups, "related_model", None) is Group else None


class _Together(models.Aggregate):
    """Keys as one JSON array: a row for each role, and not one for each of its thousand users."""

    output_field = models.JSONField()

    def as_postgresql(self, compiler: Any, connection: Any, **more: Any) -> Any:
        return super().as_sql(compiler, connection, function="JSONB_AGG", **more)

    def as_sqlite(self, compiler: Any, connection: Any, **more: Any) -> Any:
        return super().as_sql(compiler, connection, function="JSON_GROUP_ARRAY", **more)


class SharedPreferenceQuerySet(models.QuerySet["SharedPreference"]):
    def held_by(self, cluster: Any, user_ids: Collection[Any]) -> dict[Any, list["SharedPreference"]]:
        """For each of the users the rows of their roles and of the cluster, in one query however many they are."""
        held: dict[Any, list[SharedPreference]] = {pk: [] for pk in user_ids}
        key = get_user_model()._meta.pk
        for row in self._with_holders(cluster, user_ids):
            for pk in held if row.group_id is None else map(key.to_python, row.holders):
                held[pk].append(row)
        return held

    def _with_holders(self, cluster: Any, user_ids: Collection[Any]) -> Any:
        rows: Any = self.filter(cluster=cluster)
        users = _users_of_a_group()
        if users is None:
            return rows.filter(group=None)
        holders, among = f"group__{users}", these(user_ids, get_user_model()._meta.pk, rows.db)
        rows = rows.filter(models.Q(group=None) | models.Q(**{f"{holders}__in": among}))
        return rows.select_related("group").annotate(holders=_Together(holders))


class SharedPreference(Choices):
    """What a role wants in a cluster; without a role, what the whole cluster wants. Users may choose otherwise."""

    cluster = models.ForeignKey(
        settings.NOTIFICATIONS_CLUSTER_MODEL, verbose_name=_("cluster"), on_delete=models.CASCADE, related_name="+"
    )
    group = models.ForeignKey(
        Group,
        verbose_name=_("role"),
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        help_text=_("Empty: the whole cluster."),
    )
    rank = models.PositiveSmallIntegerField(
        _("rank"), default=0, help_text=_("Of several roles of one user the lowest rank is asked first.")
    )

    objects = SharedPreferenceQuerySet.as_manager()

    class Meta:
        verbose_name = _("role or cluster preference")
        verbose_name_plural = _("role and cluster preferences")
        constraints = [
            models.UniqueConstraint(fields=["cluster", "group"], name="klaxon_shared_preference_role"),
            models.UniqueConstraint(
                fields=["cluster"], condition=models.Q(group=None), name="klaxon_shared_preference_cluster"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.whose} in {self.cluster}"

    @property
    def whose(self) -> str:  # type: ignore[override]
        return f"role {self.group.name}" if self.group else "cluster"

    @property
    def place(self) -> tuple[int, int]:  # type: ignore[override]
        return (1, self.rank) if self.group_id else (2, 0)

    @property
    def subject(self) -> str:
        return self.whose
