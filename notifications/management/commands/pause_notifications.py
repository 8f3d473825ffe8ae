"""Stop delivering, at once and without a restart."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db import router

from notifications import conf
from notifications.core import clock
from notifications.core.primary import read_from_primary
from notifications.management.base import DatabaseCommand
from notifications.models import Delivery, Pause
from notifications.models.pause import EVERYTHING


class Command(DatabaseCommand):
    help = (
        "Pause one channel, or everything. What is queued waits until resume_notifications; sending goes on queueing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--channel", default=EVERYTHING, help="only this channel (everything)")
        parser.add_argument("--note", default="", help="why, for whoever looks at it later")

    @read_from_primary()
    def handle(self, *args: Any, **options: Any) -> None:
        channel = options["channel"]
        known = conf.current().enabled_channels
        if channel != EVERYTHING and channel not in known:
            raise CommandError(f"There is no channel {channel!r}. Configured: {', '.join(sorted(known))}.")
        now = clock.now(router.db_for_write(Delivery))
        new = Pause.objects.pause(channel, options["note"], now)
        what = "Everything" if channel == EVERYTHING else f"The channel {channel}"
        self.stdout.write(f"{what} is paused{'.' if new else ' already.'} Workers finish what they are sending.")
