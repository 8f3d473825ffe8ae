"""Preferences of a role or of a whole cluster, for all who have not chosen themselves."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.exceptions import FieldDoesNotExist
from django.db import connections, models
from django.utils.translation import gettext_lazy as _

from notifications.models.audit import AuditedQuerySet
from notifications.models.preferences import Choices
from notifications.storage.in_array import in_array


def links() -> Any:
    """The users' own field of groups; None where the host's users have none."""
    try:
        groups: Any = get_user_model()._meta.get_field("groups")
    except FieldDoesNotExist:
        return None
    return groups if getattr(groups, "related_model", None) is Group else None


def _keys(holders: str | None) -> Iterable[Any]:
    """The users in a JSON array, as keys of the host's user model."""
    listed, key = json.loads(holders or "[]"), get_user_model()._meta.pk
    return listed if isinstance(key, models.IntegerField) else map(key.to_python, listed)


class SharedPreferenceQuerySet(AuditedQuerySet["SharedPreference"]):
    def by_role(self, cluster: Any) -> dict[int | None, "SharedPreference"]:
        """The rows of a cluster by role; its own under None."""
        return {row.group_id: row for row in self.filter(cluster=cluster).select_related("group")}

    def held_by(self, cluster: Any, user_ids: Collection[Any]) -> dict[Any, list["SharedPreference"]]:
        """For each of the users the rows of the cluster and of their roles, in one query however many they are."""
        of_all: list[SharedPreference] = []
        of_roles: defaultdict[Any, list[SharedPreference]] = defaultdict(of_all.copy)
        # The cluster's own comes first, so that those who have a role begin with it.
        for row in self._with_holders(cluster, user_ids):
            if row.group_id is None:
                of_all.append(row)
            else:
                row.group = Group(pk=row.group_id, name=row.role)
                for pk in _keys(row.holders):
                    of_roles[pk].append(row)
        return {**dict.fromkeys(user_ids, of_all), **of_roles}

    def _with_holders(self, cluster: Any, user_ids: Collection[Any]) -> Any:
        """The rows of a cluster, with the users of each role as one JSON array and not as a row for each."""
        connection, through, key = connections[self.db], links(), get_user_model()._meta.pk
        these, keys = in_array(user_ids, key, self.db)
        together = "jsonb_agg(%s)" if connection.vendor == "postgresql" else "json_group_array(%s)"
        quoted, holders = connection.ops.quote_name, "NULL"
        if through is not None:
            user, group = quoted(through.m2m_column_name()), quoted(through.m2m_reverse_name())
            holders = f"""
                SELECT CAST({together % user} AS text) FROM {quoted(through.m2m_db_table())}
                WHERE {group} = p.group_id AND {user} {these}"""  # noqa: S608 - names of tables and columns
        place = SharedPreference._meta.get_field("cluster").get_db_prep_value(cluster.pk, connection)
        sql = f"""
            SELECT p.*, g.name AS role, ({holders}) AS holders
            FROM klaxon_sharedpreference p LEFT JOIN {quoted(Group._meta.db_table)} g ON g.id = p.group_id
            WHERE p.cluster_id = %s ORDER BY p.group_id IS NOT NULL, p.id"""  # noqa: S608
        return self.raw(sql, [*([] if through is None else [keys]), place])


class SharedPreference(Choices):
    """What a role wants in a cluster; without a role, what the whole cluster wants. Users may choose otherwise."""

    named_by = ("group",)

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
        base_manager_name = "objects"
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
        return (1, self.rank) if self.group else (2, 0)

    @property
    def subject(self) -> str:
        return self.whose
