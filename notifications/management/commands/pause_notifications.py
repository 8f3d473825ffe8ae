"""Pause delivery immediately, without a restart."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db import router

from notifications import conf
from notifications.core import clock
from notifications.core.databases import read_from_primary
from notifications.management.base import DatabaseCommand
from notifications.models import Delivery, Pause
from notifications.models.pause import EVERYTHING


class Command(DatabaseCommand):
    help = (
        "Pause the delivery of one channel or of all channels. Queued deliveries wait until resume_notifications runs; "
        "send() continues to queue."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--channel", default=EVERYTHING, help="pause only this channel (default: all channels)")
        parser.add_argument("--note", default="", help="the reason, which the admin and summaries show")

    @read_from_primary()
    def handle(self, *args: Any, **options: Any) -> None:
        channel = options["channel"]
        known = conf.current().enabled_channels
        if channel != EVERYTHING and channel not in known:
            raise CommandError(f"There is no channel {channel!r}. Configured: {', '.join(sorted(known))}.")
        now = clock.now(router.db_for_write(Delivery))
        is_new = Pause.objects.pause(channel, options["note"], now)
        subject = "Everything" if channel == EVERYTHING else f"The channel {channel}"
        state = "is paused" if is_new else "is already paused"
        self.stdout.write(f"{subject} {state}. Workers finish the deliveries that they are sending.")
