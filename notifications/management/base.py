"""What the commands share that need the database: one sentence where it cannot be used, or was not migrated."""

from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, Error, InterfaceError, OperationalError, router

from notifications.core.connections import is_missing_migration


class DatabaseCommand(BaseCommand):
    """A command that needs Klaxon's tables. It checks that they are there before it begins.

    A worker that watches goes on after an error. Without the check, it would go on for ever on a database that was
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
            raise CommandError(f"The database cannot be used: {in_a_line(error)}") from error

    def check_migrations(self) -> None:
        """Called by Django before :meth:`handle`.

        :raises CommandError: if tables or columns are missing, or the database cannot be used.
        """
        try:
            check_tables()
        except Error as error:
            raise CommandError(f"The database cannot be used: {in_a_line(error)}") from error


def check_tables(returncode: int = 1) -> None:
    """Read no row of each of Klaxon's tables.

    :param returncode: the exit code if a table or a column is missing.
    :raises CommandError: if a table or a column is missing.
    :raises django.db.Error: if the database cannot be asked.
    """
    for model in apps.get_app_config("klaxon").get_models():
        using = router.db_for_write(model)
        nothing = model._base_manager.using(using).extra(where=["1 = 0"])
        try:
            list(nothing)
        except Error as error:
            if not is_missing_migration(error):
                raise
            option = "" if using == DEFAULT_DB_ALIAS else f" --database {using}"
            raise CommandError(
                f"The tables of django-klaxon are missing or not up to date ({in_a_line(error)}). "
                f"Run `manage.py migrate{option}` first.",
                returncode=returncode,
            ) from error


def in_a_line(error: Exception) -> str:
    """The words of an error, which PostgreSQL spreads over several lines."""
    return " ".join(str(error).split())
