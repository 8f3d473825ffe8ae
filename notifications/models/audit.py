"""The record of changed preferences: who changed what and when. Its rows are added and never changed.

The rows and querysets of audited tables write it in the transaction of the change. Rows that are deleted together with
their user, group or cluster are not recorded.
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Self, TypeVar

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import NotSupportedError, models, router, transaction
from django.utils.translation import gettext_lazy as _

from notifications.core import clock
from notifications.core.addresses import mask_address
from notifications.models.append_only import AppendOnly
from notifications.models.default_cluster import ClusterScoped, ClusterScopedQuerySet
from notifications.models.unconstrained import UnconstrainedForeignKey
from notifications.storage.engine import array_subquery

BATCH_SIZE = 1000
# The columns that determine the owner of a row.
OWNER_COLUMNS = frozenset({"user_id", "cluster_id"})

Row = TypeVar("Row", bound="Audited", covariant=True)
Values = dict[str, Any]


class PreferenceChange(AppendOnly):
    """One change of one row. ``before`` and ``after`` contain the values that differ, with masked addresses."""

    class Action(models.TextChoices):
        ADDED = "added", _("added")
        CHANGED = "changed", _("changed")
        DELETED = "deleted", _("deleted")

    at = models.DateTimeField(_("at"))
    # Keys without a constraint: the user and the cluster can be deleted, and the row stays.
    by = UnconstrainedForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("by"),
        null=True,
        db_index=False,
    )
    cluster = UnconstrainedForeignKey(
        settings.NOTIFICATIONS_CLUSTER_MODEL,
        verbose_name=_("cluster"),
        null=True,
        db_index=False,
    )
    action = models.CharField(_("action"), max_length=10, choices=Action.choices)
    table = models.CharField(_("table"), max_length=50)
    subject = models.CharField(_("owner"), max_length=200)
    before = models.JSONField(_("before"), default=dict, encoder=DjangoJSONEncoder)
    after = models.JSONField(_("after"), default=dict, encoder=DjangoJSONEncoder)

    class Meta:
        verbose_name = _("preference change")
        verbose_name_plural = _("preference changes")
        base_manager_name = "objects"
        indexes = [models.Index(fields=["subject"], name="klaxon_change_subject")]

    def __str__(self) -> str:
        return f"{self.table} of {self.subject} {self.action}"


class AuditedQuerySet(ClusterScopedQuerySet[Row]):
    """Records the changes of its statements.

    ``by=`` of ``update()``, ``delete()`` and ``bulk_create()`` is the acting user. Django's other methods call these or
    ``save()``. The rows are read into memory before and after the change.
    """

    def update(self, *, by: Any = None, **values: Any) -> int:
        if not self._changes_recorded_columns(values):
            return super().update(**values)
        with self._record_changes(by) as rows:
            return super(AuditedQuerySet, rows).update(**values)

    update.alters_data = True  # type: ignore[attr-defined]

    def delete(self, *, by: Any = None) -> tuple[int, dict[str, int]]:
        with self._record_changes(by) as rows:
            return super(AuditedQuerySet, rows).delete()

    delete.alters_data = True  # type: ignore[attr-defined]
    # As in Django, a manager must not have this method.
    delete.queryset_only = True  # type: ignore[attr-defined]

    def bulk_create(
        self,
        objs: Iterable[Row],
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Collection[str] | None = None,
        unique_fields: Collection[str] | None = None,
        *,
        by: Any = None,
    ) -> list[Row]:
        if ignore_conflicts or update_conflicts:
            raise NotSupportedError(
                f"bulk_create() of {self.model.__name__} with ignore_conflicts or update_conflicts cannot record which "
                "rows it changed. Use get_or_create() or update_or_create() for each row."
            )
        self._for_write = True
        rows, size = list(objs), batch_size or BATCH_SIZE
        with transaction.atomic(using=self.db):
            for start in range(0, len(rows), size):
                added = super().bulk_create(rows[start : start + size], batch_size)
                _record({}, self.model._lock([row.pk for row in added], self.db), by, self.db)
        return rows

    def _changes_recorded_columns(self, values: Values) -> bool:
        unrecorded = self.model.unrecorded_columns
        fields = (field for field in self.model._meta.concrete_fields if field.attname not in unrecorded)
        return any(field.name in values or field.attname in values for field in fields)

    @contextmanager
    def _record_changes(self, by: Any) -> Iterator[Self]:
        """Lock the rows, yield a queryset of exactly these rows, and record what the block changes."""
        self._for_write = True
        keys = list(self.order_by().values_list("pk", flat=True))
        using = self.db
        with transaction.atomic(using=using):
            before = self.model._lock(keys, using)
            yield self.filter(pk__in=array_subquery(before, self.model._meta.pk, using))
            _record(before, self.model._lock(before, using), by, using)
        self._result_cache = None


class Audited(ClusterScoped):
    """A row whose changes are recorded. ``by=`` of ``save()`` and ``delete()`` is the acting user."""

    # The columns that contain addresses.
    masked_columns: frozenset[str] = frozenset()
    # The columns that are not preferences.
    unrecorded_columns: frozenset[str] = frozenset({"id"})
    # The relations that `subject` reads.
    subject_relations: tuple[str, ...] = ()

    class Meta:
        abstract = True

    def save(self, *args: Any, by: Any = None, **kwargs: Any) -> None:
        using = kwargs.get("using") or router.db_for_write(type(self), instance=self)
        with transaction.atomic(using=using):
            before = self._lock([self.pk], using)
            super().save(*args, **kwargs)
            _record(before, self._lock([self.pk], using), by, using)

    def delete(self, *args: Any, by: Any = None, **kwargs: Any) -> tuple[int, dict[str, int]]:
        using = kwargs.get("using") or router.db_for_write(type(self), instance=self)
        with transaction.atomic(using=using):
            _record(self._lock([self.pk], using), {}, by, using)
            return super().delete(*args, **kwargs)

    @property
    def subject(self) -> str:
        """A text that identifies the owner of the row, even after the owner was deleted."""
        raise NotImplementedError

    @property
    def _recorded_values(self) -> Values:
        """The values to record, by column."""
        names = (field.attname for field in self._meta.concrete_fields)
        return {name: getattr(self, name) for name in names if name not in self.unrecorded_columns | OWNER_COLUMNS}

    @property
    def _owner(self) -> Values:
        return {name: getattr(self, name, None) for name in OWNER_COLUMNS}

    @classmethod
    def _lock(cls, keys: Iterable[Any], using: str) -> dict[Any, Self]:
        """Lock the stored rows with these keys until the transaction ends, and return them."""
        stored = [key for key in keys if key is not None]
        if not stored:
            return {}
        rows = cls._base_manager.using(using).filter(pk__in=array_subquery(stored, cls._meta.pk, using)).order_by("pk")
        if cls.subject_relations:
            rows = rows.select_related(*cls.subject_relations)
        return {row.pk: row for row in rows.select_for_update(of=("self",))}


def _record(before: dict[Any, Any], after: dict[Any, Any], by: Any, using: str) -> None:
    rows = [change for key in {**before, **after} for change in _find_changes(before.get(key), after.get(key), by)]
    if not rows:
        return
    now = clock.now(using)
    for row in rows:
        row.at = now
    PreferenceChange.objects.using(using).bulk_create(rows, batch_size=BATCH_SIZE)


def _find_changes(before: Any, after: Any, by: Any) -> Iterator[PreferenceChange]:
    if before and after and before._owner != after._owner:
        # One owner has lost the row, and another has got it.
        yield _make_change(before, None, by)
        yield _make_change(None, after, by)
    elif not (before and after and before._recorded_values == after._recorded_values):
        yield _make_change(before, after, by)


def _make_change(before: Any, after: Any, by: Any) -> PreferenceChange:
    row: Audited = after or before
    defaults = {field.attname: field.get_default() for field in row._meta.concrete_fields}
    old, new = before._recorded_values if before else {}, after._recorded_values if after else {}
    different = [name for name in {**old, **new} if old.get(name, defaults[name]) != new.get(name, defaults[name])]
    action = PreferenceChange.Action
    return PreferenceChange(
        by_id=getattr(by, "pk", None),
        cluster_id=row.cluster_id,
        action=action.CHANGED if before and after else action.ADDED if after else action.DELETED,
        table=str(row._meta.model_name),
        subject=row.subject[:200],
        before={name: _mask(row, name, old[name]) for name in different if name in old},
        after={name: _mask(row, name, new[name]) for name in different if name in new},
    )


def _mask(row: Audited, name: str, value: Any) -> Any:
    if name not in row.masked_columns:
        return value
    if isinstance(value, dict):
        return {channel: mask_address(str(address or "")) for channel, address in value.items()}
    return mask_address(str(value))
