"""Checks of the databases: their engine and options, and whether related tables are in the same database."""

import sqlite3
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error, Warning
from django.db import connections, router

from notifications import conf
from notifications.core.connections import get_pool_size
from notifications.models import Delivery

Messages = Iterator[CheckMessage]
SUPPORTED = ("postgresql", "sqlite")


def check_engine() -> Messages:
    alias = router.db_for_write(Delivery)
    connection = connections[alias]
    if connection.vendor not in SUPPORTED:
        yield Error(
            f"Klaxon's tables are in the database {alias!r}, whose ENGINE {connection.settings_dict['ENGINE']!r} is "
            "not supported.",
            hint="Use 'django.db.backends.postgresql' or 'django.db.backends.sqlite3'.",
            id="klaxon.E031",
        )


def check_databases() -> Messages:
    """Klaxon's rows refer to users, groups and clusters, and a foreign key cannot refer to another database."""
    own_models = apps.get_app_config("klaxon").get_models(include_auto_created=True)
    pairs = {(model, other) for model in own_models for other in _get_related_models(model)}
    aliases = {other: (router.db_for_write(other), router.db_for_write(model)) for model, other in pairs}
    split = {other._meta.label: pair for other, pair in aliases.items() if len(set(map(_get_location, pair))) > 1}
    for label, (theirs, own) in sorted(split.items()):
        yield Error(
            f"{label} is written to the database {theirs!r}, but Klaxon's tables that refer to it are written to "
            f"{own!r}.",
            hint="Let db_for_write() of your DATABASE_ROUTERS return the same database for the app 'klaxon' as for "
            "your users, groups and clusters. Reads can go to a replica.",
            id="klaxon.E030",
        )


def _get_related_models(model: Any) -> Iterator[Any]:
    for field in model._meta.get_fields():
        other = getattr(field.remote_field, "model", None) if field.concrete else None
        # Django leaves the name of a model that is not installed as a string.
        if other is not None and not isinstance(other, str) and getattr(field, "db_constraint", True):
            yield other


def _get_location(alias: str) -> tuple[Any, ...]:
    """Return the options that identify a database, because one database can have several aliases."""
    options = connections[alias].settings_dict
    return tuple(options[key] for key in ("ENGINE", "HOST", "PORT", "NAME"))


def check_sqlite() -> Messages:
    connection: Any = connections[router.db_for_write(Delivery)]
    if connection.vendor != "sqlite":
        return
    if sqlite3.sqlite_version_info < (3, 35):
        yield Error(
            f"SQLite {sqlite3.sqlite_version} cannot claim deliveries in one statement.",
            hint="Use a Python that was built with SQLite 3.35 or later, or use PostgreSQL.",
            id="klaxon.E009",
        )
    options = connection.settings_dict.get("OPTIONS", {})
    missing = list(_find_missing_options(options))
    if missing and not connection.is_in_memory_db():
        yield Warning(
            f"The SQLite database {connection.alias!r} lacks {' and '.join(missing)}.",
            hint="Create its entry in DATABASES with notifications.sqlite.tuned(path). Otherwise workers raise "
            "'database is locked'.",
            id="klaxon.W002",
        )


def _find_missing_options(options: dict[str, Any]) -> Iterator[str]:
    if "journal_mode=wal" not in str(options.get("init_command", "")).lower().replace(" ", ""):
        yield "write-ahead logging (WAL)"
    if str(options.get("transaction_mode", "")).upper() != "IMMEDIATE":
        yield "IMMEDIATE transactions"


def check_pools() -> Messages:
    alias = router.db_for_write(Delivery)
    size, least = get_pool_size(alias), max(2, conf.current().workers)
    if size is not None and size < least:
        yield Warning(
            f"The connection pool of the database {alias!r} has at most {size} connections. A worker process needs "
            f"{least}; with fewer it starts fewer threads.",
            hint=f"Set DATABASES[{alias!r}]['OPTIONS']['pool']['max_size'] to at least {least} (the value of "
            "NOTIFICATIONS['WORKERS'], and at least 2), or decrease WORKERS.",
            id="klaxon.W004",
        )
