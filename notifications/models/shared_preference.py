"""Preferences of a role or of a whole cluster, for all users who have not chosen themselves."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.utils.translation import gettext_lazy as _

from notifications.models.audit import AuditedQuerySet
from notifications.models.preferences import PreferenceLevel
from notifications.storage.engine import get_engine, in_array


def user_groups_field() -> Any:
    """Return the ``groups`` field of the user model, or None if the host's user model has no such field."""
    try:
        groups: Any = get_user_model()._meta.get_field("groups")
    except FieldDoesNotExist:
        return None
    return groups if getattr(groups, "related_model", None) is Group else None


def _parse_keys(user_keys: str | None) -> Iterable[Any]:
    """Return the primary keys of users in a JSON array, converted for the host's user model."""
    keys, field = json.loads(user_keys or "[]"), get_user_model()._meta.pk
    return keys if isinstance(field, models.IntegerField) else map(field.to_python, keys)


class SharedPreferenceQuerySet(AuditedQuerySet["SharedPreference"]):
    def load_by_role(self, cluster: Any) -> dict[int | None, "SharedPreference"]:
        """Return the rows of a cluster by role; the key of the cluster's own row is None."""
        return {row.group_id: row for row in self.filter(cluster=cluster).select_related("group")}

    def load_for_users(self, cluster: Any, user_ids: Collection[Any]) -> dict[Any, list["SharedPreference"]]:
        """Return for each user the rows of the cluster and of the user's roles. It takes one query."""
        cluster_rows: list[SharedPreference] = []
        rows_by_user: defaultdict[Any, list[SharedPreference]] = defaultdict(cluster_rows.copy)
        # The cluster's own row comes first, so that the lists of users with a role begin with it.
        for row in self._with_user_keys(cluster, user_ids):
            if row.group_id is None:
                cluster_rows.append(row)
            else:
                row.group = Group(pk=row.group_id, name=row.role)
                for pk in _parse_keys(row.user_keys):
                    rows_by_user[pk].append(row)
        return {**dict.fromkeys(user_ids, cluster_rows), **rows_by_user}

    def _with_user_keys(self, cluster: Any, user_ids: Collection[Any]) -> Any:
        """Return the rows of a cluster, each with the users of the role as one JSON array."""
        engine, through, key = get_engine(self.db), user_groups_field(), get_user_model()._meta.pk
        condition, keys = in_array(user_ids, key, self.db)
        quote, user_keys = engine.connection.ops.quote_name, "NULL"
        if through is not None:
            user, group = quote(through.m2m_column_name()), quote(through.m2m_reverse_name())
            user_keys = f"""
                SELECT {engine.json_to_text(engine.json_aggregate(user))} FROM {quote(through.m2m_db_table())}
                WHERE {group} = p.group_id AND {user} {condition}"""  # noqa: S608 - names of tables and columns
        cluster_id = SharedPreference._meta.get_field("cluster").get_db_prep_value(cluster.pk, engine.connection)
        sql = f"""
            SELECT p.*, g.name AS role, ({user_keys}) AS user_keys
            FROM klaxon_sharedpreference p LEFT JOIN {quote(Group._meta.db_table)} g ON g.id = p.group_id
            WHERE p.cluster_id = %s ORDER BY p.group_id IS NOT NULL, p.id"""  # noqa: S608
        return self.raw(sql, [*([] if through is None else [keys]), cluster_id])


class SharedPreference(PreferenceLevel):
    """The preferences of a role in a cluster or, without a role, of the whole cluster. Users' own come first."""

    subject_relations = ("group",)

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
        help_text=_("Leave empty for the whole cluster."),
    )
    rank = models.PositiveSmallIntegerField(
        _("rank"), default=0, help_text=_("If a user has several roles, the one with the lowest rank comes first.")
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
        return f"{self.owner} in {self.cluster}"

    @property
    def owner(self) -> str:  # type: ignore[override]
        return f"role {self.group.name}" if self.group else "cluster"

    @property
    def precedence(self) -> tuple[int, int]:  # type: ignore[override]
        return (1, self.rank) if self.group else (2, 0)

    @property
    def subject(self) -> str:
        return self.owner
