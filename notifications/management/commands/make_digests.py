"""Make the digests and batches that are due."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db import router

from notifications.core import clock
from notifications.core.primary import read_from_primary
from notifications.core.switch import OFF_MESSAGE, is_off
from notifications.digests import make_due, release_forgotten, send_summaries
from notifications.management.base import DatabaseCommand
from notifications.models import Delivery


class Command(DatabaseCommand):
    help = (
        "Put together the digests and batches that are due, and queue them. A worker that watches does it by itself, "
        "and so does dispatch_notifications each time that it runs; this is for sites that want it apart."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say for how many recipients something is due")

    @read_from_primary()
    def handle(self, *args: Any, **options: Any) -> None:
        if is_off():
            self.stdout.write(OFF_MESSAGE)
            return
        failed = due(self) if options["dry_run"] else make(self)
        if failed:
            raise CommandError(f"None could be made for {number(failed, 'recipient')}; the log says why.")


def due(command: DatabaseCommand) -> int:
    using = router.db_for_write(Delivery)
    count = Delivery.objects.using(using).digests_due(clock.now(using)).count()
    words = f"Something waits to be put together for {number(count, 'recipient')}." if count else NOTHING
    command.stdout.write(f"{words} Whether others have sections is not asked.")
    return 0


def make(command: DatabaseCommand) -> int:
    made = make_due()
    items = number(made.merged, "delivery", "deliveries")
    parts = [
        f"{number(made.made, 'digest or batch', 'digests and batches')} of {items}",
        number(send_summaries(), "digest of sections alone", "digests of sections alone"),
        f"{number(made.alone + release_forgotten(), 'delivery', 'deliveries')} alone",
    ]
    queued = [part for part in parts if not part.startswith("0 ")]
    command.stdout.write(f"Queued: {', '.join(queued)}." if queued else NOTHING)
    if made.refused:
        command.stdout.write(f"Not wanted any more, or expired: {number(made.refused, 'delivery', 'deliveries')}.")
    return made.failed


NOTHING = "Nothing waits to be put together."


def number(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or f'{one}s'}"
