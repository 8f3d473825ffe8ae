"""The base class of commands that need the database: one sentence if it cannot be used or was not migrated."""

from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, Error, InterfaceError, OperationalError, router

from notifications.core.databases import is_missing_migration


class DatabaseCommand(BaseCommand):
    """A command that needs Klaxon's tables. Before it starts, it checks that they exist.

    With ``--watch``, a worker continues after an error. Without the check, it would run forever on a database that was
    never migrated.
    """

    requires_migrations_checks = True

    def execute(self, *args: Any, **options: Any) -> str | None:
        """
        :raises CommandError: also if the database cannot be used.
        """
        try:
            return super().execute(*args, **options)
        except (OperationalError, InterfaceError) as error:
            raise CommandError(f"The database cannot be used: {to_line(error)}") from error

    def check_migrations(self) -> None:
        """Called by Django before :meth:`handle`.

        :raises CommandError: if tables or columns are missing, or the database cannot be used.
        """
        try:
            check_tables()
        except Error as error:
            raise CommandError(f"The database cannot be used: {to_line(error)}") from error


def check_tables(returncode: int = 1) -> None:
    """Select no rows from each of Klaxon's tables, which fails if a table or a column is missing.

    :param returncode: the exit code of the error.
    :raises CommandError: if a table or a column is missing.
    :raises django.db.Error: if the database cannot be used.
    """
    for model in apps.get_app_config("klaxon").get_models():
        using = router.db_for_write(model)
        no_rows = model._base_manager.using(using).extra(where=["1 = 0"])
        try:
            list(no_rows)
        except Error as error:
            if not is_missing_migration(error):
                raise
            option = "" if using == DEFAULT_DB_ALIAS else f" --database {using}"
            raise CommandError(
                f"The tables of django-klaxon are missing or not up to date ({to_line(error)}). "
                f"Run `manage.py migrate{option}` first.",
                returncode=returncode,
            ) from error


def to_line(error: Exception) -> str:
    """Return the message of an error in one line. PostgreSQL's messages have several."""
    return " ".join(str(error).split())
