"""Write a recording of a coach's bus, to try the CAN bridge without a vehicle or CAN hardware."""

from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from example_project.coach.simulation import frames

LONGEST = 24 * 60
START = "2026-01-01T08:00:00+00:00"


class Command(BaseCommand):
    help = "Write a candump recording of a coach that raises and clears a yellow and a red fault."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("path", help="the file to write, such as coach.log")
        parser.add_argument("--minutes", type=int, default=5, help="length of the drive (1 to 1440, by default 5)")
        parser.add_argument("--seed", type=int, default=1, help="the same seed writes the same recording")
        parser.add_argument("--start", default=START, help=f"time of the first frame ({START})")

    def handle(self, *args: Any, **options: Any) -> None:
        if not 1 <= options["minutes"] <= LONGEST:
            raise CommandError(f"--minutes must be between 1 and {LONGEST}.")
        start = self._start(options["start"])
        try:
            with Path(options["path"]).open("w", encoding="ascii") as file:
                drive = frames(options["minutes"] * 60, options["seed"])
                file.writelines(frame.as_candump(start, "can0") + "\n" for frame in drive)
        except OSError as error:
            raise CommandError(f"{options['path']!r} cannot be written: {error}") from error
        self.stdout.write(f"Replay it with: bridge_can --replay {options['path']}")

    def _start(self, text: str) -> float:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as error:
            raise CommandError(f"--start must be a time such as {START}, not {text!r}.") from error
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
