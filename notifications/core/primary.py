"""Read from the primary database on sites whose router reads from a replica.

A replica lags: a new account is missing from it, and a new opt-out has no effect. So all code that decides about a
notification runs within :func:`read_from_primary`. There, each query reads the database that its model is written to.
That includes queries of the host (``MEMBERS_OF``, ``PREFERENCES``, an authentication backend, a queryset of
recipients). A queryset with ``using()`` keeps its database. Pages of the admin and the inbox are outside of it and may
read a replica.

If no router returns a database for writing a model of the host, the model may be read-only, and its table may exist
only in the database that it is read from. The host's routers then decide. Klaxon's models, users, groups, permissions
and clusters are always written, so without an answer from a router they are read from the default database.

This module adds its own router before those of ``DATABASE_ROUTERS``. Outside of the block, the router does nothing.
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
    """Routes reads to the database for writes within :func:`read_from_primary`."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return _get_write_alias(model, hints) if _uses_primary.get() else None


PRIMARY_ROUTER = PrimaryRouter()


@contextmanager
def read_from_primary() -> Iterator[None]:
    """Let the queries of the block, in this thread or task, read the primary database.

    A context manager and a decorator.
    """
    # Django creates a new list if DATABASE_ROUTERS is overridden.
    if router.routers[:1] != [PRIMARY_ROUTER]:
        router.routers = [PRIMARY_ROUTER, *(other for other in router.routers if other is not PRIMARY_ROUTER)]
    token = _uses_primary.set(True)
    try:
        yield
    finally:
        _uses_primary.reset(token)


@contextmanager
def read_as_routed() -> Iterator[None]:
    """Let only the host's routers decide within the block, for receivers of signals.

    A context manager and a decorator.
    """
    token = _uses_primary.set(False)
    try:
        yield
    finally:
        _uses_primary.reset(token)


def _get_write_alias(model: Any, hints: dict[str, Any]) -> str | None:
    """Return the database that a model is written to, or None if the host's ``db_for_read()`` decides."""
    # A router may raise an error for a model that must not be written.
    with suppress(Exception):
        return _ask_routers(model, hints) or (DEFAULT_DB_ALIAS if _is_always_written(model) else None)
    return None


def _ask_routers(model: Any, hints: dict[str, Any]) -> str | None:
    for other in router.routers:
        db_for_write = getattr(other, "db_for_write", None)
        if db_for_write is not None and (alias := db_for_write(model, **hints)):
            return str(alias)
    return None


def _is_always_written(model: Any) -> bool:
    """Return whether a model is certainly written.

    These are the models of Klaxon and of ``django.contrib.auth``, the user and cluster models, the models that these
    inherit from, and the tables of their many-to-many relations.
    """
    concrete = model._meta.concrete_model
    if concrete._meta.app_label in ("klaxon", "auth"):
        return True
    swapped = [apps.get_model(name) for name in (settings.AUTH_USER_MODEL, settings.NOTIFICATIONS_CLUSTER_MODEL)]
    through = {field.remote_field.through for one in swapped for field in one._meta.many_to_many}
    return concrete in through or any(issubclass(one, concrete) for one in swapped)


def reload_from_primary(row: Any) -> Any:
    """Return the row, reloaded if it came from another database than its primary; None if the primary lacks it."""
    using = _get_write_alias(type(row), {})
    if using is None or row._state.db in (None, using):
        return row
    return type(row)._base_manager.using(using).filter(pk=row.pk).first()
