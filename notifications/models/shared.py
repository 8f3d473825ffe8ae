"""Preferences of a role or of a whole cluster, for all who have not chosen themselves."""

import json
from collections.abc import Collection
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.exceptions import FieldDoesNotExist
from django.db import connections, models
from django.utils.translation import gettext_lazy as _

from notifications.models.among import among
from notifications.models.choices import Choices


def _links() -> Any:
    """The users' own field of groups; None where the host's users have none."""
    try:
        groups: Any = get_user_model()._meta.get_field("groups")
    except FieldDoesNotExist:
        return None
    return groups if getattr(groups, "related_model", None) is Group else None


class SharedPreferenceQuerySet(models.QuerySet["SharedPreference"]):
    def held_by(self, cluster: Any, user_ids: Collection[Any]) -> dict[Any, list["SharedPreference"]]:
        """For each of the users the rows of their roles and of the cluster, in one query however many they are."""
        held: dict[Any, list[SharedPreference]] = {pk: [] for pk in user_ids}
        key = get_user_model()._meta.pk
        for row in self._with_holders(cluster, user_ids):
            if row.group_id is not None:
                row.group = Group(pk=row.group_id, name=row.role)
            for pk in held if row.group_id is None else map(key.to_python, json.loads(row.holders or "[]")):
                if pk in held:
                    held[pk].append(row)
        return held

    def _with_holders(self, cluster: Any, user_ids: Collection[Any]) -> Any:
        """The rows of a cluster, with the users of each role as one JSON array and not as a row for each."""
        connection, links, key = connections[self.db], _links(), get_user_model()._meta.pk
        these, keys = among(user_ids, key, self.db)
        together = "jsonb_agg(%s)" if connection.vendor == "postgresql" else "json_group_array(%s)"
        quoted, holders = connection.ops.quote_name, "NULL"
        if links is not None:
            user, group = quoted(links.m2m_column_name()), quoted(links.m2m_reverse_name())
            holders = f"""
                SELECT CAST({together % user} AS text) FROM {quoted(links.m2m_db_table())}
                WHERE {group} = p.group_id AND {user} {these}"""  # noqa: S608 - names of tables and columns
        place = SharedPreference._meta.get_field("cluster").get_db_prep_value(cluster.pk, connection)
        sql = f"""
            SELECT p.*, g.name AS role, ({holders}) AS holders
            FROM klaxon_sharedpreference p LEFT JOIN {quoted(Group._meta.db_table)} g ON g.id = p.group_id
            WHERE p.cluster_id = %s"""  # noqa: S608
        return self.raw(sql, [*([] if links is None else [keys]), place])


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
