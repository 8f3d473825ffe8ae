"""Make the digests and batches that are due."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError, router

from notifications import clock
from notifications.digests import Made, make_due
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
            self.stdout.write(due() if options["dry_run"] else told(make_due()))
        except (OperationalError, InterfaceError) as error:
            raise CommandError(f"The database cannot be used: {error}") from error


def due() -> str:
    using = router.db_for_write(Delivery)
    count = Delivery.objects.using(using).digests_due(clock.now(using)).count()
    return f"Digests or batches are due for {count} recipients." if count else "No digest and no batch is due."


def told(made: Made) -> str:
    """One sentence about what was made."""
    if made == Made():
        return "No digest and no batch is due."
    parts = [f"{made.made} digests and batches of {made.merged} notifications are queued"]
    parts += [f"{made.alone} go out alone"] * bool(made.alone)
    parts += [f"{made.refused} are not wanted any more or have expired"] * bool(made.refused)
    return f"{'; '.join(parts)}."
