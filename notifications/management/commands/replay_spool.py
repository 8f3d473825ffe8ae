"""Queue what was spooled while the database was away."""

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
from notifications.management.base import check_tables
from notifications.management.progress import Progress
from notifications.spool.calls import replay
from notifications.spool.files import Line, Segment, Spool

REJECTED, NOT_FINISHED = 1, 2


class Command(BaseCommand):
    help = (
        "Queue what send() has spooled while the database could not be reached, each once, however often this is run. "
        "Exit codes: 0 all of it is queued, 1 some lines were rejected, 2 not finished: run it again later."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="tell what is spooled; needs no database")
        parser.add_argument("--rejected", action="store_true", help="also what was rejected before")

    def handle(self, *args: Any, **options: Any) -> None:
        spool = configured()
        if options["dry_run"]:
            self._tell(spool.waiting())
            return
        # Without them every line would be rejected. A database that is away is told below, with what was done.
        with suppress(Error):
            check_tables(returncode=NOT_FINISHED)
        tally: Counter[str] = Counter()
        try:
            with spool.replaying(again=options["rejected"]) as segments:
                self._replay(spool, segments, tally)
        except (SpoolBusy, OSError) as error:
            raise CommandError(f"The spool cannot be replayed. {error}", returncode=NOT_FINISHED) from error
        except (OperationalError, InterfaceError, OutboxFull) as error:
            why = " ".join(str(error).split())
            words = f"{said(tally)} Then it ended: {why} What is left stays spooled; run this again."
            raise CommandError(words, returncode=NOT_FINISHED) from error
        if tally["rejected"]:
            words = f"{said(tally)} The reasons stand in {spool.rejected}."
            raise CommandError(words, returncode=REJECTED)
        self.stdout.write(said(tally) if tally else "Nothing was spooled.")

    def _replay(self, spool: Spool, segments: list[Segment], tally: Counter[str]) -> None:
        progress = Progress(self.stdout, sum(1 for segment in segments for _ in segment))
        try:
            for segment in segments:
                for line in segment:
                    tally[self._outcome(spool, line)] += 1
                    segment.done = line.end
                    progress.advance(1)
        finally:
            progress.end()

    def _outcome(self, spool: Spool, line: Line) -> str:
        if line.is_torn:
            self.stderr.write("The last line is torn: its writer died, and nobody was told that it was kept.")
            return "torn"
        try:
            return "duplicate" if replay(line.record()).duplicate else "queued"
        except (OperationalError, InterfaceError, OutboxFull):
            # Nothing is wrong with the line. It stays, and so does what comes after it.
            raise
        except Exception as error:  # noqa: BLE001 - the rules of a host may raise anything; the line is put aside
            spool.reject(line, f"{type(error).__name__}: {error}", clock.local_now().isoformat())
            return "rejected"

    def _tell(self, lines: Iterable[Line]) -> None:
        found = Counter(described(line) for line in lines)
        for words, count in sorted(found.items()):
            self.stdout.write(f"{count:>8}  {words}")
        self.stdout.write(f"{found.total()} lines are spooled.")


def configured() -> Spool:
    """
    :raises CommandError: if this site has no spool.
    """
    folder = conf.current().spool_dir
    if not folder:
        raise CommandError("NOTIFICATIONS['SPOOL_DIR'] is not set, so nothing can have been spooled.")
    return Spool(folder)


def described(line: Line) -> str:
    """What a replay would make of a line, as far as that can be said without the database."""
    if line.is_torn:
        return "torn, would be left out"
    try:
        event = line.record()["event"]
    except (SpoolDamaged, LookupError) as error:
        return f"damaged, would be rejected: {error}"
    known = NOTIFICATION_EVENTS.named(event) is not None
    return event if known else f"{event}, which is not registered: would be rejected"


def said(tally: Counter[str]) -> str:
    """One sentence about what was done."""
    more = {"duplicate": "were there already", "rejected": "were rejected", "torn": "were torn"}
    parts = [f"{tally['queued']} notifications were queued"]
    parts += [f"{tally[what]} {words}" for what, words in more.items() if tally[what]]
    return f"{', '.join(parts)}."
