"""Delete dead letters that nobody will replay. Their attempts stay in the log."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError
from django.db import router

from notifications.core import clock
from notifications.core.databases import read_from_primary
from notifications.management import dead_letters
from notifications.management.base import DatabaseCommand
from notifications.management.counts import format_count
from notifications.models import Delivery
from notifications.monitoring.retention.plan import delete_dead_letters


class Command(DatabaseCommand):
    help = "Delete dead letters that are older than a number of days. The log keeps their attempts."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--days", type=int, required=True, metavar="N", help="keep dead letters of the last N days")
        dead_letters.add_filters(parser)

    @read_from_primary()
    def handle(self, *args: Any, **options: Any) -> None:
        if options["days"] < 0:
            raise CommandError("--days must not be negative.")
        until = clock.now(router.db_for_write(Delivery)) - timedelta(days=options["days"])
        letters = dead_letters.select(Delivery.objects.dead_letters(until=until), options)
        if options["dry_run"]:
            dead_letters.print_dry_run(letters, self, "delete")
            return
        deleted = sum(map(delete_dead_letters, dead_letters.iterate_in_steps(letters)))
        self.stdout.write(f"Deleted {format_count(deleted, 'dead letter')}.")
