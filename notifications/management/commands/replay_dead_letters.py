"""Give dead letters a new life."""

import logging
from argparse import ArgumentParser
from typing import Any

from django.db import router, transaction

from notifications.core.primary import read_from_primary
from notifications.management import dead_letters
from notifications.management.base import DatabaseCommand
from notifications.management.times import moment
from notifications.models import Delivery
from notifications.sending.resend import reopen, wake_workers

logger = logging.getLogger("notifications.dead_letters")


class Command(DatabaseCommand):
    help = (
        "Send dead letters again. Each gets a new epoch: its attempts begin at nought, and providers that know "
        "idempotency take it for a new message. Without filters all dead letters are meant."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--from", dest="since", help="only what died at this time or later")
        parser.add_argument("--to", dest="until", help="only what died before this time")
        dead_letters.add_filters(parser)

    @read_from_primary()
    def handle(self, *args: Any, **options: Any) -> None:
        since = moment(options["since"], "--from")
        until = moment(options["until"], "--to")
        letters = dead_letters.chosen(Delivery.objects.dead_letters(since, until), options)
        if options["dry_run"]:
            dead_letters.told(letters, self, "sent again")
            return
        replayed = sum(self.replay(keys) for keys in dead_letters.steps(letters))
        self.stdout.write(f"{replayed} dead letters are ready to be sent again.")

    def replay(self, keys: list[int]) -> int:
        using = router.db_for_write(Delivery)
        with transaction.atomic(using=using):
            rows = reopen(Delivery.objects.using(using).filter(pk__in=keys), "replay_dead_letters")
            wake_workers(rows)
        logger.info("%d dead letters were replayed: %s", len(rows), keys)
        return len(rows)
