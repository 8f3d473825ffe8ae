"""Make the digests and batches that are due."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db import router

from notifications.conf import OFF_MESSAGE, is_off
from notifications.core import clock
from notifications.core.databases import read_from_primary
from notifications.digests import make_due, release_overdue, send_section_digests
from notifications.management.base import DatabaseCommand
from notifications.management.counts import format_count
from notifications.models import Delivery


class Command(DatabaseCommand):
    help = (
        "Make the digests and batches that are due, and queue them. dispatch_notifications does this automatically; "
        "this command is for sites that want to do it separately."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only count the recipients for whom one is due")

    @read_from_primary()
    def handle(self, *args: Any, **options: Any) -> None:
        if is_off():
            self.stdout.write(OFF_MESSAGE)
            return
        if options["dry_run"]:
            print_due(self)
        elif failed := make_digests(self):
            recipients = format_count(failed, "recipient")
            raise CommandError(
                f"The digests or batches of {recipients} could not be made. The log contains the errors."
            )


def print_due(command: DatabaseCommand) -> None:
    using = router.db_for_write(Delivery)
    count = Delivery.objects.using(using).recipients_due_for_digest(clock.now(using)).count()
    sentence = f"Digests or batches are due for {format_count(count, 'recipient')}." if count else NOTHING_DUE
    command.stdout.write(f"{sentence} Recipients who only have sections are not counted.")


def make_digests(command: DatabaseCommand) -> int:
    """Make and queue digests and batches, print the counts, and return the number of recipients that failed."""
    result = make_due()
    items = format_count(result.merged, "delivery", "deliveries")
    parts = [
        f"{format_count(result.made, 'digest or batch', 'digests and batches')} of {items}",
        format_count(send_section_digests(), "digest with only sections", "digests with only sections"),
        format_count(result.single + release_overdue(), "single delivery", "single deliveries"),
    ]
    queued = [part for part in parts if not part.startswith("0 ")]
    command.stdout.write(f"Queued: {', '.join(queued)}." if queued else NOTHING_DUE)
    if result.refused:
        refused = format_count(result.refused, "delivery", "deliveries")
        command.stdout.write(f"No longer wanted, or expired: {refused}.")
    return result.failed


NOTHING_DUE = "No digest or batch is due."
