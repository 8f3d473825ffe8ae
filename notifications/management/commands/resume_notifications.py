"""Go on delivering."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from notifications import partitions
from notifications.dispatch.wake import announce
from notifications.models import Pause
from notifications.models.pause import EVERYTHING


class Command(BaseCommand):
    help = "Resume one channel, or what pause_notifications paused as a whole."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--channel", default=EVERYTHING, help="only this channel (the pause of everything)")

    def handle(self, *args: Any, **options: Any) -> None:
        channel = options["channel"]
        what = "Everything" if channel == EVERYTHING else f"The channel {channel}"
        if not Pause.objects.resume(channel):
            self.stdout.write(f"{what} was not paused.")
        else:
            announce(partition=partitions.current())
            self.stdout.write(f"{what} goes on.")
        still = sorted(Pause.objects.names())
        if still:
            self.stdout.write(f"Still paused: {', '.join(still)}.")
