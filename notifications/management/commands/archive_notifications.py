"""Write what a purge would delete into a file of the archive."""

from argparse import ArgumentParser
from collections import Counter
from typing import Any

from django.core.management.base import CommandError
from django.db import router

from notifications.core import clock
from notifications.core.databases import read_from_primary
from notifications.management.base import DatabaseCommand
from notifications.management.progress import Progress
from notifications.models import Delivery
from notifications.monitoring.retention.archive import (
    SETTING,
    ArchiveBusy,
    ArchiveDamaged,
    find_fault,
    get_folder,
    hash_file,
    list_manifests,
    read_lines,
    read_manifest,
)
from notifications.monitoring.retention.purge import describe
from notifications.monitoring.retention.write_archive import write_archive


class Command(DatabaseCommand):
    help = (
        "Write the notifications, dead letters, log rows and entries of escalations that purge_notifications would "
        "delete, and that are not archived yet, into a gzipped file of JSON lines in the folder "
        f"{SETTING}. Nothing is deleted."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--verify", action="store_true", help="only check all files of the archive")

    @read_from_primary()
    def handle(self, *args: Any, **options: Any) -> None:
        if get_folder() is None:
            raise CommandError(f"There is no archive. Set {SETTING} to the absolute path of a folder.")
        if fault := find_fault():
            raise CommandError(f"The archive cannot be used. {fault} Change {SETTING}, or the folder.")
        try:
            if options["verify"]:
                self.verify()
            else:
                self.write()
        except (ArchiveBusy, ArchiveDamaged, OSError) as error:
            raise CommandError(str(error)) from error

    def write(self) -> None:
        progress = Progress(self.stdout, None)
        path, counts = write_archive(clock.now(router.db_for_write(Delivery)), progress.advance)
        progress.end()
        if path is None:
            self.stdout.write("Nothing new is old enough for the archive.")
        else:
            self.stdout.write(f"Archived in {path.parent / read_manifest(path)['file']}: {describe(counts)}.")

    def verify(self) -> None:
        """
        :raises ArchiveDamaged: if a file is not as its manifest says.
        """
        folder, total = get_folder(), 0
        for path in list_manifests(folder) if folder else ():
            manifest = read_manifest(path)
            data = path.parent / manifest["file"]
            if hash_file(data) != manifest["sha256"]:
                raise ArchiveDamaged(f"The file {data} was changed: it does not have the SHA-256 of {path.name}.")
            counts = Counter(line["table"] for line in read_lines(data))
            if counts != Counter(manifest["counts"]):
                raise ArchiveDamaged(f"The file {data} does not have as many rows as {path.name} says.")
            total += counts.total()
        self.stdout.write(f"The archive is complete: {total} rows.")
