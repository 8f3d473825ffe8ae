"""Send dead letters again."""

import logging
from argparse import ArgumentParser
from typing import Any

from django.db import router, transaction

from notifications.core.databases import read_from_primary
from notifications.management import dead_letters
from notifications.management.base import DatabaseCommand
from notifications.management.counts import format_count
from notifications.management.times import parse_time
from notifications.models import Delivery
from notifications.sending.resend import reopen, wake_workers

logger = logging.getLogger("notifications.dead_letters")


class Command(DatabaseCommand):
    help = (
        "Send dead letters again. Each gets a new epoch: its attempts are reset to 0, and providers with idempotency "
        "treat it as a new message. By default the command replays all dead letters."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--from", dest="since", metavar="TIME", help="select only dead letters of this time or later"
        )
        parser.add_argument("--to", dest="until", metavar="TIME", help="select only dead letters of before this time")
        dead_letters.add_filters(parser)

    @read_from_primary()
    def handle(self, *args: Any, **options: Any) -> None:
        since = parse_time(options["since"], "--from")
        until = parse_time(options["until"], "--to")
        letters = dead_letters.select(Delivery.objects.dead_letters(since, until), options)
        if options["dry_run"]:
            dead_letters.print_dry_run(letters, self, "replay")
            return
        replayed = sum(self.replay(keys) for keys in dead_letters.iterate_in_steps(letters))
        self.stdout.write(f"Queued {format_count(replayed, 'dead letter')} to be sent again.")

    def replay(self, keys: list[int]) -> int:
        using = router.db_for_write(Delivery)
        with transaction.atomic(using=using):
            rows = reopen(Delivery.objects.using(using).filter(pk__in=keys), "replay_dead_letters")
            wake_workers(rows)
        logger.info("Replayed %d dead letters: %s", len(rows), keys)
        return len(rows)
