"""Checks of the databases: which engine, which options, and whether the tables stand together."""

import sqlite3
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error, Warning
from django.db import connections, router

from notifications import conf
from notifications.core.connections import pool_size
from notifications.models import Delivery

Found = Iterator[CheckMessage]
SUPPORTED = ("postgresql", "sqlite")


def check_engine() -> Found:
    alias = router.db_for_write(Delivery)
    connection = connections[alias]
    if connection.vendor not in SUPPORTED:
        yield Error(
            f"Klaxon's tables are in the database {alias!r}. Its ENGINE, {connection.settings_dict['ENGINE']!r}, is "
            "not supported.",
            hint="Use 'django.db.backends.postgresql' or 'django.db.backends.sqlite3'.",
            id="klaxon.E031",
        )


def check_databases() -> Found:
    """Rows of ours point at users, groups and clusters, and no database knows the rows of another."""
    ours = apps.get_app_config("klaxon").get_models(include_auto_created=True)
    pairs = {(model, other) for model in ours for other in _bound_to(model)}
    aliases = {other: (router.db_for_write(other), router.db_for_write(model)) for model, other in pairs}
    apart = {other._meta.label: used for other, used in aliases.items() if len(set(map(_place, used))) > 1}
    for label, (theirs, own) in sorted(apart.items()):
        yield Error(
            f"{label} is written to the database {theirs!r}, and Klaxon's tables that refer to it to {own!r}.",
            hint="Let db_for_write() of your DATABASE_ROUTERS give the app 'klaxon' the database of your users, groups "
            "and clusters. Reads may go to a replica.",
            id="klaxon.E030",
        )


def _bound_to(model: Any) -> Iterator[Any]:
    for field in model._meta.get_fields():
        other = getattr(field.remote_field, "model", None) if field.concrete else None
        # What stands here as a text is a model that is not installed.
        if other is not None and not isinstance(other, str) and getattr(field, "db_constraint", True):
            yield other


def _place(alias: str) -> tuple[Any, ...]:
    """What tells databases apart; one may have several aliases."""
    used = connections[alias].settings_dict
    return tuple(used[key] for key in ("ENGINE", "HOST", "PORT", "NAME"))


def check_sqlite() -> Found:
    connection = connections[router.db_for_write(Delivery)]
    if connection.vendor != "sqlite":
        return
    if sqlite3.sqlite_version_info < (3, 35):
        yield Error(
            f"SQLite {sqlite3.sqlite_version} cannot claim deliveries in one statement.",
            hint="Use a Python built with SQLite 3.35 or later, or PostgreSQL.",
            id="klaxon.E009",
        )
    options = connection.settings_dict.get("OPTIONS", {})
    lacking = list(_lacking_options(options))
    if lacking and not _in_memory(connection):
        yield Warning(
            f"The SQLite database {connection.alias!r} lacks {' and '.join(lacking)}.",
            hint="Take the entry of DATABASES from notifications.sqlite.tuned(path), or workers will meet "
            "'database is locked'.",
            id="klaxon.W002",
        )


def _lacking_options(options: dict[str, Any]) -> Iterator[str]:
    if "journal_mode=wal" not in str(options.get("init_command", "")).lower().replace(" ", ""):
        yield "write-ahead logging (WAL)"
    if str(options.get("transaction_mode", "")).upper() != "IMMEDIATE":
        yield "IMMEDIATE transactions"


def _in_memory(connection: Any) -> bool:
    return connection.is_in_memory_db()


def check_pools() -> Found:
    alias = router.db_for_write(Delivery)
    size, least = pool_size(alias), max(2, conf.current().workers)
    if size is not None and size < least:
        yield Warning(
            f"The connection pool of the database {alias!r} holds at most {size}; a worker process needs {least},"
            " and starts fewer threads without them.",
            hint=f"Set DATABASES[{alias!r}]['OPTIONS']['pool']['max_size'] to at least {least}, the number of"
            " NOTIFICATIONS['WORKERS'] and never below 2, or lower WORKERS.",
            id="klaxon.W004",
        )
