"""Tell of faults on a vehicle's CAN bus: live, or from a recording."""

import signal
import threading
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import Error

from notifications.can.bridge import Bridge
from notifications.can.bus import listen
from notifications.can.faults import FaultChange
from notifications.can.frame import Frame, Quiet
from notifications.can.life import SHORTEST_SILENCE, FaultLife
from notifications.can.recordings import frames
from notifications.can.rules import Sender, configured_rules
from notifications.can.tally import Tally
from notifications.exceptions import KlaxonError
from notifications.management.base import check_tables


class Command(BaseCommand):
    help = (
        "Listen to a CAN bus, or replay a recording, and send what NOTIFICATIONS['CAN_RULES'] makes of every fault "
        "that is raised or cleared. A live bridge goes on until it gets SIGTERM or SIGINT."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--replay", metavar="FILE", help="a recording: candump .log, .log.gz, .trc, .asc, .blf, …")
        parser.add_argument("--interface", help="a python-can interface, such as socketcan, slcan or virtual")
        parser.add_argument("--channel", help="the channel of the interface, such as can0")
        parser.add_argument("--seconds", type=float, help="stop listening after this many seconds")
        parser.add_argument("--dry-run", action="store_true", help="send nothing; needs no rules and no database")
        parser.add_argument("--json", action="store_true", help="print changes as JSON, one a line, and nothing else")
        parser.add_argument(
            "--clear-after",
            type=float,
            default=SHORTEST_SILENCE,
            metavar="SECONDS",
            help="silence after which a fault counts as cleared (at least and by default 15)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        check(options)
        tally = Tally()
        tell = telling(options, tally)
        bridge = Bridge(FaultLife(tally, options["clear_after"]))
        try:
            with stop_on_signals(live=bool(options["interface"])) as stopped:
                for change in bridge.changes(source(options, tally, stopped)):
                    self._show(change, options["json"])
                    tell(change)
        except KlaxonError as error:
            raise CommandError(f"{error} (So far: {tally})" if tally.frames else str(error)) from error
        # With --json standard output belongs to whoever parses it.
        out = self.stderr if options["json"] else self.stdout
        out.write(str(tally), style_func=str)

    def _show(self, change: FaultChange, as_json: bool) -> None:
        self.stdout.write(change.as_json() if as_json else str(change))
        self.stdout.flush()


def check(options: dict[str, Any]) -> None:
    """
    :raises CommandError: if the options do not go together.
    """
    live = bool(options["interface"])
    if live == bool(options["replay"]):
        raise CommandError("Give either --replay FILE or --interface NAME (with --channel), and not both.")
    if not live and (options["channel"] or options["seconds"] is not None):
        raise CommandError("--channel and --seconds belong to --interface; a replay ends with its file.")
    # Written so that "nan" fails too.
    if options["seconds"] is not None and not options["seconds"] > 0:
        raise CommandError("--seconds must be more than 0.")
    if not options["clear_after"] >= SHORTEST_SILENCE:
        raise CommandError(
            f"--clear-after must be at least {SHORTEST_SILENCE:g}: RV-C devices may report only every 5 seconds, and "
            "a report can be lost."
        )


def telling(options: dict[str, Any], tally: Tally) -> Callable[[FaultChange], None]:
    """What is done with a change: nothing in a dry run, which must not need rules."""
    if options["dry_run"]:
        return lambda change: None
    # A live bridge outlives a database that is away, but not one that nobody has migrated.
    with suppress(Error):
        check_tables()
    try:
        return Sender(configured_rules(), tally, outlives_the_database=bool(options["interface"])).tell
    except ImproperlyConfigured as error:
        raise CommandError(str(error)) from error


def source(options: dict[str, Any], tally: Tally, stopped: threading.Event) -> Iterator[Frame | Quiet]:
    if options["replay"]:
        return frames(Path(options["replay"]), tally)
    ends_at = time.monotonic() + (options["seconds"] or float("inf"))
    return listen(options["interface"], options["channel"], lambda: stopped.is_set() or time.monotonic() >= ends_at)


@contextmanager
def stop_on_signals(live: bool) -> Iterator[threading.Event]:
    """A live bridge ends its loop on SIGTERM and SIGINT, between two sends, and prints its summary."""
    stopped = threading.Event()
    # Python lets only the main thread set handlers; elsewhere --seconds ends it.
    numbers = (signal.SIGTERM, signal.SIGINT) if live and threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, lambda *_: stopped.set()) for number in numbers}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
