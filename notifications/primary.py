"""Reading from the database that is written, on sites whose router reads from a replica.

A replica lags. Whoever was made an account a moment ago is not in it yet, and whoever has just opted out still is. So
everything that decides about a notification runs within :func:`read_from_primary`, and there each query, also one of
the host (``MEMBERS_OF``, ``PREFERENCES``, an authentication backend, a queryset of recipients), goes to the database to
which its model is written. A queryset that was given a database by ``using()`` keeps it. Pages of the admin and the
inbox are not within it, and may read a replica.

It works by a router of our own, which stands before those of ``DATABASE_ROUTERS`` and has nothing to say elsewhere.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, router

_is_deciding: ContextVar[bool] = ContextVar("klaxon_reads_from_primary", default=False)


class PrimaryRouter:
    """Reads go where writes go, within :func:`read_from_primary`."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return _written(model, hints) if _is_deciding.get() else None


PRIMARY = PrimaryRouter()


@contextmanager
def read_from_primary() -> Iterator[None]:
    """Within the block, in this thread or task, queries read the database that is written. Also a decorator."""
    # Django makes the list anew where DATABASE_ROUTERS is overridden.
    if router.routers[:1] != [PRIMARY]:
        router.routers = [PRIMARY, *(other for other in router.routers if other is not PRIMARY)]
    token = _is_deciding.set(True)
    try:
        yield
    finally:
        _is_deciding.reset(token)


def _written(model: Any, hints: dict[str, Any]) -> str:
    for other in router.routers:
        asked = getattr(other, "db_for_write", None)
        if asked is not None and (chosen := asked(model, **hints)):
            return str(chosen)
    # A row that the host has read from a replica must not lead there; one of another database of the host's does.
    instance = hints.get("instance")
    origin = None if instance is None or _is_known(model) else instance._state.db
    return origin or DEFAULT_DB_ALIAS


def _is_known(model: Any) -> bool:
    """Whether it is a model that decides who gets what: one of ours, of users, of their groups and permissions."""
    swapped = (settings.AUTH_USER_MODEL, settings.NOTIFICATIONS_CLUSTER_MODEL)
    return model._meta.app_label in ("klaxon", "auth") or model._meta.label_lower in map(str.lower, swapped)


def as_written(row: Any) -> Any:
    """The row, read anew if it came from another database than the one that is written; None if it is not there."""
    using = _written(type(row), {})
    if row._state.db in (None, using):
        return row
    return type(row)._base_manager.using(using).filter(pk=row.pk).first()
