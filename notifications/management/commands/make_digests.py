"""Make the digests and batches that are due."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError, router

from notifications import clock
from notifications.digests import Made, make_due, send_summaries
from notifications.models import Delivery


class Command(BaseCommand):
    help = (
        "Put together the digests and batches that are due, and queue them. A worker that watches does it by itself, "
        "and so does dispatch_notifications each time that it runs; this is for sites that want it apart."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say for how many recipients something is due")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self.stdout.write(due() if options["dry_run"] else make())
        except (OperationalError, InterfaceError) as error:
            raise CommandError(f"The database cannot be used: {error}") from error


def due() -> str:
    using = router.db_for_write(Delivery)
    count = Delivery.objects.using(using).digests_due(clock.now(using)).count()
    return f"Digests or batches are due for {count} recipients." if count else "No digest and no batch is due."


def make() -> str:
    made = make_due()
    summaries = send_summaries()
    return told(made, summaries)


def told(made: Made, summaries: int = 0) -> str:
    """One sentence about what was made."""
    if made == Made() and not summaries:
        return "No digest and no batch is due."
    parts = [f"{made.made} digests and batches of {made.merged} notifications are queued"] * bool(made.made)
    parts += [f"{made.alone} go out alone"] * bool(made.alone)
    parts += [f"{made.refused} are not wanted any more or have expired"] * bool(made.refused)
    parts += [f"{summaries} digests with sections only are queued"] * bool(summaries)
    return f"{'; '.join(parts)}."
