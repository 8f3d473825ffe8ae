"""Who changed a preference, when, from what to what: appended, never changed.

Rows and querysets of the tables concerned write it, in the same transaction. What goes along when a user, a group or a
cluster is deleted leaves no row.
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
from notifications.storage.in_array import array_subquery

STEP = 1000
# Columns that say whose row it is.
OWNER = frozenset({"user_id", "cluster_id"})

Row = TypeVar("Row", bound="Audited", covariant=True)
Values = dict[str, Any]


class PreferenceChange(AppendOnly):
    """One change of one row. ``before`` and ``after`` hold what differs, with addresses masked."""

    class Action(models.TextChoices):
        ADDED = "added", _("added")
        CHANGED = "changed", _("changed")
        DELETED = "deleted", _("deleted")

    at = models.DateTimeField(_("at"))
    # Keys that bind nothing: whom they name can be deleted, and the row stays.
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
    subject = models.CharField(_("whose"), max_length=200)
    before = models.JSONField(_("before"), default=dict, encoder=DjangoJSONEncoder)
    after = models.JSONField(_("after"), default=dict, encoder=DjangoJSONEncoder)

    class Meta:
        verbose_name = _("change of preferences")
        verbose_name_plural = _("changes of preferences")
        base_manager_name = "objects"
        indexes = [models.Index(fields=["subject"], name="klaxon_change_subject")]

    def __str__(self) -> str:
        return f"{self.table} of {self.subject} {self.action}"


class AuditedQuerySet(ClusterScopedQuerySet[Row]):
    """Records what its statements change.

    ``by=`` of ``update()``, ``delete()`` and ``bulk_create()`` names the acting user. Django's other methods call these
    or ``save()``. What changes is read before and after, into memory.
    """

    def update(self, *, by: Any = None, **values: Any) -> int:
        if not self._says_something(values):
            return super().update(**values)
        with self._record_changes(by) as rows:
            return super(AuditedQuerySet, rows).update(**values)

    update.alters_data = True  # type: ignore[attr-defined]

    def delete(self, *, by: Any = None) -> tuple[int, dict[str, int]]:
        with self._record_changes(by) as rows:
            return super(AuditedQuerySet, rows).delete()

    delete.alters_data = True  # type: ignore[attr-defined]
    # As Django's own: a manager must not offer it.
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
        rows, step = list(objs), batch_size or STEP
        with transaction.atomic(using=self.db):
            for start in range(0, len(rows), step):
                added = super().bulk_create(rows[start : start + step], batch_size)
                _record({}, self.model._lock([row.pk for row in added], self.db), by, self.db)
        return rows

    def _says_something(self, values: Values) -> bool:
        fields = (field for field in self.model._meta.concrete_fields if field.attname not in self.model.unrecorded)
        return any(field.name in values or field.attname in values for field in fields)

    @contextmanager
    def _record_changes(self, by: Any) -> Iterator[Self]:
        """The same rows, locked, and no others. What the block does to them is recorded."""
        self._for_write = True
        keys = list(self.order_by().values_list("pk", flat=True))
        using = self.db
        with transaction.atomic(using=using):
            before = self.model._lock(keys, using)
            yield self.filter(pk__in=array_subquery(before, self.model._meta.pk, using))
            _record(before, self.model._lock(before, using), by, using)
        self._result_cache = None


class Audited(ClusterScoped):
    """A row whose changes are recorded. ``by=`` of ``save()`` and ``delete()`` names the acting user."""

    # Columns that hold addresses.
    masked: frozenset[str] = frozenset()
    # Columns that say nothing of what is wanted.
    unrecorded: frozenset[str] = frozenset({"id"})
    # The relations that `subject` reads.
    named_by: tuple[str, ...] = ()

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
        """Whose row it is, in a word that outlives them."""
        raise NotImplementedError

    @property
    def _said(self) -> Values:
        """What the row says, by column."""
        names = (field.attname for field in self._meta.concrete_fields)
        return {name: getattr(self, name) for name in names if name not in self.unrecorded | OWNER}

    @property
    def _owner(self) -> Values:
        return {name: getattr(self, name, None) for name in OWNER}

    @classmethod
    def _lock(cls, keys: Iterable[Any], using: str) -> dict[Any, Self]:
        """What the table holds of these rows, locked until the transaction ends."""
        known = [key for key in keys if key is not None]
        if not known:
            return {}
        rows = cls._base_manager.using(using).filter(pk__in=array_subquery(known, cls._meta.pk, using)).order_by("pk")
        if cls.named_by:
            rows = rows.select_related(*cls.named_by)
        return {row.pk: row for row in rows.select_for_update(of=("self",))}


def _record(before: dict[Any, Any], after: dict[Any, Any], by: Any, using: str) -> None:
    rows = [change for key in {**before, **after} for change in _find_changes(before.get(key), after.get(key), by)]
    if not rows:
        return
    now = clock.now(using)
    for row in rows:
        row.at = now
    PreferenceChange.objects.using(using).bulk_create(rows, batch_size=STEP)


def _find_changes(before: Any, after: Any, by: Any) -> Iterator[PreferenceChange]:
    if before and after and before._owner != after._owner:
        # The one owner has lost it, and the other has got it.
        yield _make_change(before, None, by)
        yield _make_change(None, after, by)
    elif not (before and after and before._said == after._said):
        yield _make_change(before, after, by)


def _make_change(before: Any, after: Any, by: Any) -> PreferenceChange:
    row: Audited = after or before
    empty = {field.attname: field.get_default() for field in row._meta.concrete_fields}
    old, new = before._said if before else {}, after._said if after else {}
    differs = [name for name in {**old, **new} if old.get(name, empty[name]) != new.get(name, empty[name])]
    action = PreferenceChange.Action
    return PreferenceChange(
        by_id=getattr(by, "pk", None),
        cluster_id=row.cluster_id,
        action=action.CHANGED if before and after else action.ADDED if after else action.DELETED,
        table=str(row._meta.model_name),
        subject=row.subject[:200],
        before={name: _mask(row, name, old[name]) for name in differs if name in old},
        after={name: _mask(row, name, new[name]) for name in differs if name in new},
    )


def _mask(row: Audited, name: str, value: Any) -> Any:
    if name not in row.masked:
        return value
    if isinstance(value, dict):
        return {channel: mask_address(str(address or "")) for channel, address in value.items()}
    return mask_address(str(value))
