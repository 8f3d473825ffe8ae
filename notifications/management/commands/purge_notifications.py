"""Delete what is older than the ages in the setting RETENTION."""

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
from notifications.monitoring.retention.archive import ArchiveDamaged
from notifications.monitoring.retention.plan import build_steps
from notifications.monitoring.retention.purge import MAX_BATCH, Purge, describe

UNARCHIVED = 3


class Command(DatabaseCommand):
    help = (
        "Delete notifications, rows of the log and everything else that is older than NOTIFICATIONS['RETENTION'] says, "
        "if nothing needs it any more. dispatch_notifications does this automatically; this command is for cron, and "
        "for sites without a worker that always runs. It can be stopped at any time, and the next run goes on. Exit "
        "codes: 0 everything was deleted, 1 it cannot run, 3 rows were kept because they are not archived."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only count what would be deleted")
        parser.add_argument(
            "--batch", type=int, default=MAX_BATCH, metavar="N", help="delete at most N rows in one transaction"
        )
        parser.add_argument(
            "--at-once",
            action="store_true",
            help="do not pause between transactions, if nothing else uses the database",
        )

    @read_from_primary()
    def handle(self, *args: Any, **options: Any) -> None:
        if options["batch"] < 1:
            raise CommandError("--batch must be at least 1.")
        try:
            steps = build_steps(clock.now(router.db_for_write(Delivery)))
        except ArchiveDamaged as error:
            raise CommandError(str(error)) from error
        if options["dry_run"]:
            counts = Counter({step.name: step.count() for step in steps})
            self.stdout.write(f"Would delete: {describe(counts)}.")
            return
        purge, progress = Purge(steps, options["batch"]), Progress(self.stdout, None)
        try:
            purge.run(pause_ratio=0 if options["at_once"] else None, on_progress=progress.advance)
        except KeyboardInterrupt:
            progress.end()
            self.stdout.write(f"Stopped. Deleted: {describe(purge.deleted)}. The next run goes on.")
            raise
        progress.end()
        self.stdout.write(f"Deleted: {describe(purge.deleted)}.")
        if purge.unarchived.total():
            raise CommandError(
                f"Not deleted, because they are not archived: {describe(purge.unarchived)}. Run `manage.py "
                "archive_notifications` first.",
                returncode=UNARCHIVED,
            )
