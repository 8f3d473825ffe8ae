"""Resume delivery after a pause."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from notifications import conf
from notifications.core.databases import get_current_partition, read_from_primary
from notifications.delivering.on_commit import notify_workers
from notifications.management.base import DatabaseCommand
from notifications.models import Circuit, Pause
from notifications.models.pause import EVERYTHING


class Command(DatabaseCommand):
    help = (
        "Resume one channel, or end the pause of all channels. The command also closes open circuits of these "
        "channels, so that workers try failed providers again immediately."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--channel", default=EVERYTHING, help="resume only this channel (default: all)")

    @read_from_primary()
    def handle(self, *args: Any, **options: Any) -> None:
        channel = options["channel"]
        known = {*conf.current().enabled_channels, *Pause.objects.channel_names()}
        if channel != EVERYTHING and channel not in known:
            raise CommandError(f"There is no channel {channel!r}. Configured: {', '.join(sorted(known))}.")
        subject = "Everything" if channel == EVERYTHING else f"The channel {channel}"
        resumed = Pause.objects.resume(channel)
        self.stdout.write(f"{subject} is resumed." if resumed else f"{subject} was not paused.")
        closed = Circuit.objects.close("" if channel == EVERYTHING else channel)
        if closed:
            self.stdout.write(f"Workers try these providers again immediately: {', '.join(closed)}.")
        if resumed or closed:
            notify_workers(partition=get_current_partition())
        still = sorted(Pause.objects.channel_names())
        if still:
            self.stdout.write(f"Still paused: {', '.join(still)}.")
