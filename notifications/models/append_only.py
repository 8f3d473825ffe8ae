"""Tables whose rows are added and never changed: the notification log and the record of changed preferences.

Their models refuse to update or delete rows. On PostgreSQL a trigger, created by a migration, refuses it for every
other statement too. ``TRUNCATE`` stays possible, because ``flush`` and ``TransactionTestCase`` use it. SQLite has no
trigger: there ``flush`` deletes row by row, and nothing distinguishes it from any other ``DELETE``.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any, TypeVar

from django.apps import apps
from django.db import models, router, transaction

from notifications.exceptions import AppendOnlyViolation
from notifications.storage.engine import get_engine

_purposes: ContextVar[Mapping[str, str]] = ContextVar("klaxon_log_changes", default={})  # noqa: B039 - never mutated

Row = TypeVar("Row", bound=models.Model)


@contextmanager
def allow_log_changes(purpose: str, using: str | None = None) -> Iterator[None]:
    """Let the block change or delete rows of the log, its personal parts and the record of changed preferences.

    The block is a transaction, or part of the caller's. When it ends, changes are refused again.

    :param purpose: the reason in one or two words, such as ``"purge"``. On PostgreSQL it is the value of the setting
        ``klaxon.log_changes`` while the block runs.
    :param using: the database alias; by default the one to which the log is written.
    :raises ValueError: if the purpose is empty.
    """
    if not purpose.strip():
        raise ValueError('allow_log_changes() needs a purpose, such as "purge".')
    alias = using or router.db_for_write(apps.get_model("klaxon", "NotificationLog"))
    outer, engine = _purposes.get(), get_engine(alias)
    with transaction.atomic(using=alias):
        engine.set_log_purpose(purpose)
        token = _purposes.set({**outer, alias: purpose})
        try:
            yield
        finally:
            _purposes.reset(token)
        # A rollback restores the setting itself.
        if not engine.connection.needs_rollback:
            engine.set_log_purpose(outer.get(alias, ""))


def _require_permission(model: type[models.Model], method: str, alias: str) -> None:
    if alias not in _purposes.get():
        raise AppendOnlyViolation(
            f"{method} is refused: rows of {model.__name__} are added and never changed. To purge or erase rows, do it "
            'within `with allow_log_changes("purge"):`, imported from notifications.models.'
        )


class AppendOnlyQuerySet(models.QuerySet[Row]):
    """Refuses to change or delete rows outside :func:`allow_log_changes`."""

    def update(self, **values: Any) -> int:
        self._require_permission("update()")
        return super().update(**values)

    update.alters_data = True  # type: ignore[attr-defined]

    def bulk_update(self, objs: Iterable[Row], fields: Iterable[str], batch_size: int | None = None) -> int:
        self._require_permission("bulk_update()")
        return super().bulk_update(objs, fields, batch_size)

    bulk_update.alters_data = True  # type: ignore[attr-defined]

    def update_or_create(self, *args: Any, **kwargs: Any) -> tuple[Row, bool]:
        self._require_permission("update_or_create()")
        return super().update_or_create(*args, **kwargs)

    def bulk_create(
        self,
        objs: Iterable[Row],
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Collection[str] | None = None,
        unique_fields: Collection[str] | None = None,
    ) -> list[Row]:
        if update_conflicts:
            self._require_permission("bulk_create(update_conflicts=True)")
        return super().bulk_create(objs, batch_size, ignore_conflicts, update_conflicts, update_fields, unique_fields)

    def delete(self) -> tuple[int, dict[str, int]]:
        self._require_permission("delete()")
        return super().delete()

    delete.alters_data = True  # type: ignore[attr-defined]
    # As in Django, a manager must not have this method.
    delete.queryset_only = True  # type: ignore[attr-defined]

    def _raw_delete(self, using: str | None) -> int:
        _require_permission(self.model, "_raw_delete()", using or self.db)
        return super()._raw_delete(using)

    def _require_permission(self, method: str) -> None:
        self._for_write = True
        _require_permission(self.model, method, self.db)


class AppendOnly(models.Model):
    """A row that is added once. ``save()`` and ``delete()`` of a stored row are refused."""

    objects = AppendOnlyQuerySet.as_manager()

    class Meta:
        abstract = True

    def save(self, *, using: str | None = None, **options: Any) -> None:
        alias = using or router.db_for_write(type(self), instance=self)
        if self._state.adding and not (options.get("force_update") or options.get("update_fields")):
            # Otherwise Django first looks for a row with the same key and updates it.
            options["force_insert"] = True
        else:
            _require_permission(type(self), "save() of a stored row", alias)
        super().save(using=alias, **options)

    def delete(self, using: str | None = None, keep_parents: bool = False) -> tuple[int, dict[str, int]]:
        alias = using or router.db_for_write(type(self), instance=self)
        _require_permission(type(self), "delete()", alias)
        return super().delete(using=alias, keep_parents=keep_parents)

    def _save_table(
        self,
        raw: bool = False,
        cls: Any = None,
        force_insert: bool = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> bool:
        """Let ``loaddata``, the only caller with ``raw``, add missing rows and leave existing rows unchanged."""
        stored = raw and type(self)._base_manager.using(using).filter(pk=self.pk).first()
        if stored:
            self._require_equal(stored)
            return True
        return super()._save_table(raw, cls, force_insert, force_update, using, update_fields)  # type: ignore[misc]

    def _require_equal(self, stored: models.Model) -> None:
        different = [field.name for field in self._meta.concrete_fields if _differs(field, self, stored)]
        if different:
            raise AppendOnlyViolation(
                f"The data to load contains a {self._meta.label} with the key {self.pk} that differs from the one in "
                f"the database ({', '.join(different)}). Rows of this table are never changed. Load the data into an "
                f"empty table, or leave the table out with `dumpdata --exclude {self._meta.label_lower}`."
            )


def _differs(field: Any, loaded: models.Model, stored: models.Model) -> bool:
    one, other = getattr(loaded, field.attname), getattr(stored, field.attname)
    if field.is_relation and one is None:
        # With --natural-foreign, a dump cannot reference a deleted row.
        return False
    return bool(_truncate_like_dumps(one) != _truncate_like_dumps(other))


def _truncate_like_dumps(value: Any) -> Any:
    """Truncate a time to milliseconds, as JSON dumps do."""
    return value.replace(microsecond=value.microsecond // 1000 * 1000) if isinstance(value, datetime) else value
