"""Erase everything that Klaxon holds about a person."""

import sys
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandError
from django.db import router

from notifications.core.databases import is_in_transaction, read_from_primary
from notifications.management.arguments import get_user
from notifications.management.base import DatabaseCommand
from notifications.management.person import add_options, read_person
from notifications.models import Delivery
from notifications.monitoring.privacy.erase import Erasure, StillSending, erase, get_tables, preview
from notifications.monitoring.privacy.person import Person
from notifications.monitoring.retention.archive import (
    SETTING,
    ArchiveBusy,
    ArchiveDamaged,
    find_fault,
    get_folder,
)
from notifications.monitoring.retention.purge import describe
from notifications.storage.engine import get_engine

STILL_SENDING, REMAINS = 3, 4


class Command(DatabaseCommand):
    help = (
        "Erase everything that Klaxon holds about a user or an address, also in the archive. What must stay, such as "
        "rows of the log, is anonymous. The account stays, because it is not Klaxon's. Exit codes: 0 erased, 1 it "
        "cannot run, 3 something is being sent to the person at this moment, 4 the sentences say what is left."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_options(parser)
        parser.add_argument(
            "--also",
            action="append",
            default=[],
            metavar="TEXT",
            help="a further text that names the person, such as an earlier name; can be repeated",
        )
        parser.add_argument("--by", metavar="NAME|PK", help="the user who does it, for the record")
        parser.add_argument("--dry-run", action="store_true", help="only count what would be erased")
        parser.add_argument("--yes", action="store_true", help="do not ask for a confirmation")
        parser.add_argument(
            "--vacuum",
            choices=("plain", "full", "none"),
            default="plain",
            help="remove deleted rows from the files: full writes the tables anew and locks them meanwhile (default: "
            "plain)",
        )
        parser.add_argument(
            "--wait", type=float, default=30.0, metavar="SECONDS", help="how long to wait for what is being sent"
        )

    @read_from_primary()
    def handle(self, *args: Any, **options: Any) -> None:
        if not options["wait"] >= 0:
            raise CommandError("--wait must be a number of seconds, 0 or more.")
        person = read_person(options)
        by = get_user(options["by"], "--by") if options["by"] else None
        if get_folder() is not None and (fault := find_fault()):
            raise CommandError(f"The archive cannot be used. {fault} Change {SETTING}, or the folder.")
        if options["dry_run"]:
            self.print_result("Would be erased", self.run(lambda: preview(person)))
            return
        if not options["yes"]:
            self.confirm(person)
        result = self.run(lambda: erase(person, by, options["wait"]))
        if options["vacuum"] != "none":
            self.vacuum(result, options["vacuum"] == "full")
        self.print_result("Erased", result)

    def run(self, function: Callable[[], Erasure]) -> Erasure:
        """
        :raises CommandError: if the function cannot do its work, with what was changed.
        """
        try:
            return function()
        except StillSending as error:
            raise CommandError(str(error), returncode=STILL_SENDING) from error
        except ArchiveBusy as error:
            raise CommandError(f"{error} Nothing was changed.") from error
        except ArchiveDamaged as error:
            raise CommandError(f"{error} Nothing but waiting deliveries was changed.") from error
        except OSError as error:
            raise CommandError(
                f"A file of the archive cannot be written: {error}. Only waiting deliveries and other files of the "
                "archive were changed. Run the command again."
            ) from error

    def confirm(self, person: Person) -> None:
        """
        :raises CommandError: if the answer is not the key of the person.
        """
        if not sys.stdin.isatty():
            raise CommandError("Pass --yes to erase without a confirmation.")
        self.print_result("Would be erased", preview(person), may_fail=False)
        if input(f'This cannot be undone. Type "{person.label}" to go on: ').strip() != person.label:
            raise CommandError("Nothing was erased.")

    def vacuum(self, result: Erasure, rewrite: bool) -> None:
        using = router.db_for_write(Delivery)
        if is_in_transaction(using):
            raise CommandError("The database cannot be vacuumed within a transaction. Use --vacuum none.")
        if kept := get_engine(using).vacuum(get_tables(), rewrite):
            self.stdout.write(f"Bytes of deleted rows can still be in {kept}.")

    def print_result(self, verb: str, result: Erasure, may_fail: bool = True) -> None:
        self.stdout.write(f"{verb}: {describe(result.counts)}.")
        for sentence in result.remaining:
            self.stderr.write(sentence)
        if result.remaining and may_fail and verb == "Erased":
            sys.exit(REMAINS)
