"""Reading from the database that is written, on sites whose router reads from a replica.

A replica lags. Whoever was made an account a moment ago is not in it yet, and whoever has just opted out still is. So
everything that decides about a notification runs within :func:`read_from_primary`, and there each query, also one of
the host (``MEMBERS_OF``, ``PREFERENCES``, an authentication backend, a queryset of recipients), goes to the database to
which its model is written. A queryset that was given a database by ``using()`` keeps it. Pages of the admin and the
inbox are not within it, and may read a replica.

A model of the host that no router names a database to write for may be read-only, and its table in no other database
than the one that it is read from. It is read where the host's routers say. Klaxon's models, users, groups, permissions
and clusters are certainly written, so without a name they are read from the default database.

It works by a router of our own, which stands before those of ``DATABASE_ROUTERS`` and has nothing to say elsewhere.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, router

_uses_primary: ContextVar[bool] = ContextVar("klaxon_reads_from_primary", default=False)


class PrimaryRouter:
    """Reads go where writes go, within :func:`read_from_primary`."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return _get_write_alias(model, hints) if _uses_primary.get() else None


PRIMARY_ROUTER = PrimaryRouter()


@contextmanager
def read_from_primary() -> Iterator[None]:
    """Within the block, in this thread or task, queries read the database that is written. Also a decorator."""
    # Django makes the list anew where DATABASE_ROUTERS is overridden.
    if router.routers[:1] != [PRIMARY_ROUTER]:
        router.routers = [PRIMARY_ROUTER, *(other for other in router.routers if other is not PRIMARY_ROUTER)]
    with _set_uses_primary(True):
        yield


@contextmanager
def read_as_routed() -> Iterator[None]:
    """Within the block, the host's routers alone decide again: for receivers of signals. Also a decorator."""
    with _set_uses_primary(False):
        yield


@contextmanager
def _set_uses_primary(is_deciding: bool) -> Iterator[None]:
    token = _uses_primary.set(is_deciding)
    try:
        yield
    finally:
        _uses_primary.reset(token)


def _get_write_alias(model: Any, hints: dict[str, Any]) -> str | None:
    """The database that this model is written to; None if the host's ``db_for_read()`` is to decide."""
    # A router may raise for a model that must not be written.
    with suppress(Exception):
        return _ask_routers(model, hints) or (DEFAULT_DB_ALIAS if _is_always_written(model) else None)
    return None


def _ask_routers(model: Any, hints: dict[str, Any]) -> str | None:
    for other in router.routers:
        asked = getattr(other, "db_for_write", None)
        if asked is not None and (chosen := asked(model, **hints)):
            return str(chosen)
    return None


def _is_always_written(model: Any) -> bool:
    """Whether it is a model that decides who gets what: one of ours, of users, clusters, their groups and permissions.

    Also the tables of their relations to many, and those that a user or cluster model inherits from.
    """
    concrete = model._meta.concrete_model
    if concrete._meta.app_label in ("klaxon", "auth"):
        return True
    swapped = [apps.get_model(name) for name in (settings.AUTH_USER_MODEL, settings.NOTIFICATIONS_CLUSTER_MODEL)]
    through = {field.remote_field.through for one in swapped for field in one._meta.many_to_many}
    return concrete in through or any(issubclass(one, concrete) for one in swapped)


def reload_from_primary(row: Any) -> Any:
    """The row, read anew if it came from another database than the one that is written; None if it is not there."""
    using = _get_write_alias(type(row), {})
    if using is None or row._state.db in (None, using):
        return row
    return type(row)._base_manager.using(using).filter(pk=row.pk).first()
