"""Export everything that Klaxon holds about a person."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.db import router

from notifications.core import clock
from notifications.core.databases import read_from_primary
from notifications.management.base import DatabaseCommand
from notifications.management.person import add_options, read_person
from notifications.models import Delivery
from notifications.monitoring.privacy.export import export
from notifications.monitoring.retention.purge import describe


class Command(DatabaseCommand):
    help = (
        "Write everything that Klaxon holds about a user or an address into a file: JSON, or a ZIP with a file for "
        "each table. Encrypted contents are decrypted."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_options(parser)
        parser.add_argument("--output", required=True, metavar="FILE", help="a new file; .zip makes a ZIP")

    @read_from_primary()
    def handle(self, *args: Any, **options: Any) -> None:
        person, path = read_person(options), Path(options["output"])
        try:
            counts = export(person, path, clock.now(router.db_for_write(Delivery)))
        except FileExistsError as error:
            raise CommandError(f"--output: {path} exists. Name a new file.") from error
        except OSError as error:
            raise CommandError(f"--output: {path} cannot be written: {error}") from error
        self.stdout.write(f"Wrote {path}: {describe(counts)}.")
