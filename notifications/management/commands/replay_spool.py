"""Queue the calls of ``send()`` that were spooled while the database was away."""

from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import Error, InterfaceError, OperationalError

from notifications import conf
from notifications.core import clock
from notifications.events import NOTIFICATION_EVENTS
from notifications.exceptions import OutboxFull, SpoolBusy, SpoolDamaged
from notifications.management.base import check_tables, to_line
from notifications.management.counts import format_count
from notifications.management.progress import Progress
from notifications.spool.calls import replay
from notifications.spool.files import Line, Segment, Spool

REJECTED, NOT_FINISHED = 1, 2


class Command(BaseCommand):
    help = (
        "Queue the calls of send() that were spooled while the database could not be reached. Each call is queued "
        "once, even if the command runs several times. Exit codes: 0 all calls are queued, 1 some lines were rejected, "
        "2 the replay is not finished: run the command again later."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="print what is spooled; requires no database")
        parser.add_argument("--rejected", action="store_true", help="also replay lines that were rejected before")

    def handle(self, *args: Any, **options: Any) -> None:
        spool = open_spool()
        if options["dry_run"]:
            self._print_lines(spool.read_lines())
            return
        # Without the tables every line would be rejected. If the database is away, the error below says so.
        with suppress(Error):
            check_tables(returncode=NOT_FINISHED)
        tally: Counter[str] = Counter()
        try:
            with spool.take_segments(include_rejected=options["rejected"]) as segments:
                self._replay(spool, segments, tally)
        except (SpoolBusy, OSError) as error:
            raise CommandError(f"The spool cannot be replayed. {error}", returncode=NOT_FINISHED) from error
        except (OperationalError, InterfaceError, OutboxFull) as error:
            message = (
                f"{describe_counts(tally)} The replay stopped: {to_line(error)} The other lines stay spooled; run the "
                "command again later."
            )
            raise CommandError(message, returncode=NOT_FINISHED) from error
        if tally["rejected"]:
            message = f"{describe_counts(tally)} The reasons are in {spool.rejected}."
            raise CommandError(message, returncode=REJECTED)
        self.stdout.write(describe_counts(tally) if tally else "The spool is empty.")

    def _replay(self, spool: Spool, segments: list[Segment], tally: Counter[str]) -> None:
        progress = Progress(self.stdout, sum(1 for segment in segments for _ in segment))
        try:
            for segment in segments:
                for line in segment:
                    tally[self._outcome(spool, line)] += 1
                    segment.processed = line.end
                    progress.advance(1)
        finally:
            progress.end()

    def _outcome(self, spool: Spool, line: Line) -> str:
        if line.is_incomplete:
            self.stderr.write(
                "The last line is incomplete: its process died while writing it. Its send() had not returned."
            )
            return "incomplete"
        try:
            return "duplicate" if replay(line.parse()).duplicate else "queued"
        except (OperationalError, InterfaceError, OutboxFull):
            # The line itself is valid. It stays spooled, like all lines after it.
            raise
        except Exception as error:  # noqa: BLE001 - a site's own code may raise anything; the line is rejected
            spool.reject(line, f"{type(error).__name__}: {error}", clock.local_now().isoformat())
            return "rejected"

    def _print_lines(self, lines: Iterable[Line]) -> None:
        counts = Counter(describe_line(line) for line in lines)
        for description, count in sorted(counts.items()):
            self.stdout.write(f"{count:>8}  {description}")
        self.stdout.write(f"The spool contains {format_count(counts.total(), 'line')}.")


def open_spool() -> Spool:
    """
    :raises CommandError: if the site has no spool.
    """
    folder = conf.current().spool_dir
    if not folder:
        raise CommandError("NOTIFICATIONS['SPOOL_DIR'] is not set, so there is no spool.")
    return Spool(folder)


def describe_line(line: Line) -> str:
    """Describe what a replay would do with a line, as far as this is known without the database."""
    if line.is_incomplete:
        return "incomplete, would be skipped"
    try:
        event = line.parse()["event"]
    except (SpoolDamaged, LookupError) as error:
        return f"damaged, would be rejected: {error}"
    is_registered = NOTIFICATION_EVENTS.named(event) is not None
    return event if is_registered else f"{event}, which is not registered: would be rejected"


def describe_counts(tally: Counter[str]) -> str:
    """Return one sentence with the count of each outcome."""
    labels = {"duplicate": "queued before", "rejected": "rejected", "incomplete": "incomplete"}
    parts = [f"{tally['queued']} queued"]
    parts += [f"{tally[outcome]} {label}" for outcome, label in labels.items() if tally[outcome]]
    return f"Spooled calls: {', '.join(parts)}."
