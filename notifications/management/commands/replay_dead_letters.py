"""Give dead letters a new life."""

import logging
from argparse import ArgumentParser
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand
from django.db import router, transaction

from notifications import partitions, signals
from notifications.management import dead_letters
from notifications.models import Delivery, Notification

logger = logging.getLogger("notifications.dead_letters")


class Command(BaseCommand):
    help = (
        "Send dead letters again. Each gets a new epoch: its attempts begin at nought, and providers that know "
        "idempotency take it for a new message. Without filters all dead letters are meant."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--from", dest="since", help="only what died at this time or later")
        parser.add_argument("--to", dest="until", help="only what died before this time")
        dead_letters.add_filters(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        since = dead_letters.moment(options["since"], "--from")
        until = dead_letters.moment(options["until"], "--to")
        letters = dead_letters.chosen(Delivery.objects.dead_letters(since, until), options)
        if options["dry_run"]:
            dead_letters.told(letters, self, "sent again")
            return
        replayed = sum(self.replay(keys) for keys in dead_letters.steps(letters))
        self.stdout.write(f"{replayed} dead letters are ready to be sent again.")

    def replay(self, keys: list[int]) -> int:
        using = router.db_for_write(Delivery)
        with transaction.atomic(using=using):
            letters = Delivery.objects.using(using).filter(pk__in=keys)
            notification_ids = tuple(sorted(set(letters.values_list("notification_id", flat=True))))
            reopened = letters.reopen()
            fact = {"partition": partitions.current(), "notification_ids": notification_ids}
            tell = partial(signals.notifications_queued.send_robust, sender=Notification, **fact)
            transaction.on_commit(tell, using=using, robust=True)
        logger.info("%d dead letters were replayed: %s", reopened, keys)
        return reopened
