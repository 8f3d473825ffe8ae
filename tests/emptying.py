"""Emptying the database after a test that committed: what Django's ``flush`` does, at a fraction of its cost.

``flush`` makes the content types and permissions anew each time, and on PostgreSQL it truncates, which makes new files
for each table and each index. Here rows are deleted, and content types and permissions stay as migrations made them.
"""

from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import TransactionTestCase

LASTING = (ContentType, Permission)

flush = TransactionTestCase._fixture_teardown
made_by_migrations: dict[str, list] = {}


def install() -> None:
    """Empty databases in this way from now on; to be called when the databases are as the migrations left them."""
    for alias in connections:
        made_by_migrations[alias] = read_lasting(alias)
    TransactionTestCase._fixture_teardown = empty


def empty(test: TransactionTestCase) -> None:
    """Empty the databases of a test. Where it has changed what lasts, or wants a choice of apps, ``flush`` does it."""
    aliases = test._databases_names(include_mirrors=False)
    if test.available_apps is not None or test.serialized_rollback:
        flush(test)
        return
    for alias in aliases:
        delete_rows(connections[alias])
    if any(read_lasting(alias) != made_by_migrations[alias] for alias in aliases):
        flush(test)
        install()


def read_lasting(alias: str) -> list[list[tuple]]:
    return [list(model.objects.using(alias).order_by("pk").values_list()) for model in LASTING]


def delete_rows(connection: BaseDatabaseWrapper) -> None:
    """Delete all rows but those of ``LASTING``, once the transactions that others have begun are over."""
    lasting = {model._meta.db_table for model in LASTING}
    names = set(connection.introspection.django_table_names(only_existing=True, include_views=False)) - lasting
    tables = [connection.ops.quote_name(name) for name in sorted(names)]
    statements = [f"DELETE FROM {table}" for table in tables]
    if connection.vendor == "postgresql":
        # As in a replica, no foreign keys are checked and no triggers called: those of the log would refuse.
        before = ["SET LOCAL session_replication_role = replica", f"LOCK TABLE {', '.join(tables)}"]
        statements = ["; ".join([*before, *statements])]
    with transaction.atomic(connection.alias), connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
