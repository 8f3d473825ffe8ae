"""Who changed a preference, when, from what to what: appended, never changed.

Written by ``save()`` and ``delete()`` of the tables concerned, in the same transaction. Statements on whole querysets,
and what goes along when a user or a cluster is deleted, leave no row.
"""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models, router, transaction
from django.utils.translation import gettext_lazy as _

from notifications import clock
from notifications.addresses import masked
from notifications.models.append_only import AppendOnly
from notifications.models.default_cluster import InACluster
from notifications.models.loose import LooseForeignKey


class PreferenceChange(AppendOnly):
    """One change of one row. ``before`` and ``after`` hold what differs, with addresses masked."""

    class Action(models.TextChoices):
        ADDED = "added", _("added")
        CHANGED = "changed", _("changed")
        DELETED = "deleted", _("deleted")

    at = models.DateTimeField(_("at"))
    # Keys that bind nothing: whom they name can be deleted, and the row stays.
    by = LooseForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("by"),
        null=True,
        db_index=False,
    )
    cluster = LooseForeignKey(
        settings.NOTIFICATIONS_CLUSTER_MODEL,
        verbose_name=_("cluster"),
        null=True,
        db_index=False,
    )
    action = models.CharField(_("action"), max_length=10, choices=Action.choices)
    table = models.CharField(_("table"), max_length=50)
    subject = models.CharField(_("whose"), max_length=200)
    before = models.JSONField(_("before"), default=dict, encoder=DjangoJSONEncoder)
    after = models.JSONField(_("after"), default=dict, encoder=DjangoJSONEncoder)

    class Meta:
        verbose_name = _("change of preferences")
        verbose_name_plural = _("changes of preferences")
        indexes = [models.Index(fields=["subject"], name="klaxon_change_subject")]

    def __str__(self) -> str:
        return f"{self.table} of {self.subject} {self.action}"


class Audited(InACluster):
    """A row whose changes are recorded. ``by=`` of ``save()`` and ``delete()`` names the acting user."""

    # Columns that hold addresses.
    masked: frozenset[str] = frozenset()
    # Columns that say which row it is, not what it says.
    identity: frozenset[str] = frozenset({"id", "user_id", "cluster_id"})

    class Meta:
        abstract = True

    def save(self, *args: Any, by: Any = None, **kwargs: Any) -> None:
        using = kwargs.get("using") or router.db_for_write(type(self), instance=self)
        with transaction.atomic(using=using):
            before = self._stored(using)
            super().save(*args, **kwargs)
            action = PreferenceChange.Action.CHANGED if before else PreferenceChange.Action.ADDED
            _record(action, self, before or {}, self._stored(using) or {}, by, clock.now(using), using)

    def delete(self, *args: Any, by: Any = None, **kwargs: Any) -> tuple[int, dict[str, int]]:
        using = kwargs.get("using") or router.db_for_write(type(self), instance=self)
        with transaction.atomic(using=using):
            before = self._stored(using)
            if before:
                _record(PreferenceChange.Action.DELETED, self, before, {}, by, clock.now(using), using)
            return super().delete(*args, **kwargs)

    @property
    def subject(self) -> str:
        """Whose row it is, in a word that outlives them."""
        raise NotImplementedError

    def _stored(self, using: str) -> dict[str, Any] | None:
        """What the table holds of this row, locked until the transaction ends; None if it has no such row."""
        names = [field.attname for field in self._meta.concrete_fields if field.attname not in self.identity]
        rows = type(self)._base_manager.using(using).select_for_update().filter(pk=self.pk)
        return rows.values(*names).first() if self.pk is not None else None


def _record(action: str, row: Audited, old: Any, new: Any, by: Any, now: datetime, using: str) -> None:
    empty = {field.attname: field.get_default() for field in row._meta.concrete_fields}
    differs = [name for name in {**old, **new} if old.get(name, empty[name]) != new.get(name, empty[name])]
    if action == PreferenceChange.Action.CHANGED and not differs:
        return
    PreferenceChange.objects.using(using).create(
        at=now,
        by_id=getattr(by, "pk", None),
        cluster_id=row.cluster_id,
        action=action,
        table=str(row._meta.model_name),
        subject=row.subject[:200],
        before={name: _shown(row, name, old[name]) for name in differs if name in old},
        after={name: _shown(row, name, new[name]) for name in differs if name in new},
    )


def _shown(row: Audited, name: str, value: Any) -> Any:
    if name in row.masked and isinstance(value, dict):
        return {channel: masked(str(address or "")) for channel, address in value.items()}
    return value
