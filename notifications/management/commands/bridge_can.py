"""Send notifications about faults on a vehicle's CAN bus: live, or from a recording."""

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

from notifications.can.bus import listen
from notifications.can.changes import Change
from notifications.can.fault_tracker import MIN_SILENCE_SECONDS, FaultTracker
from notifications.can.frame import Frame, SilenceTick
from notifications.can.recordings import read_frames
from notifications.can.rules import RuleSet, load_rules
from notifications.can.sender import Sender
from notifications.can.tally import Tally
from notifications.exceptions import KlaxonError, MissingExtra
from notifications.management.base import check_tables


class Command(BaseCommand):
    help = (
        "Listen to a CAN bus, or replay a recording. For each fault that is raised or cleared, send the notifications "
        "that NOTIFICATIONS['CAN_RULES'] returns. A live bridge runs until it receives SIGTERM or SIGINT."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--replay", metavar="FILE", help="a recording: candump .log, .log.gz, .trc, .asc, .blf, …")
        parser.add_argument("--interface", help="a python-can interface, such as socketcan, slcan or virtual")
        parser.add_argument("--channel", help="the channel of the interface, such as can0")
        parser.add_argument("--seconds", type=float, help="stop listening after this many seconds")
        parser.add_argument("--dry-run", action="store_true", help="send nothing; requires no rules and no database")
        parser.add_argument("--json", action="store_true", help="print only JSON, one object for each change and line")
        parser.add_argument(
            "--clear-after",
            type=float,
            default=MIN_SILENCE_SECONDS,
            metavar="SECONDS",
            help="the silence after which a fault is cleared (default and minimum: 15)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        check_options(options)
        tally = Tally()
        rules = read_rules(options)
        send = make_sender(options, rules, tally)
        bridge = rules.make_bridge(FaultTracker(tally, options["clear_after"]))
        try:
            with stop_on_signals(live=bool(options["interface"])) as stopped:
                for change in bridge.process(open_source(options, tally, stopped)):
                    self._print(change, options["json"])
                    send(change)
        except KlaxonError as error:
            raise CommandError(f"{error} (So far: {tally})" if tally.frames else str(error)) from error
        # With --json standard output has only JSON, so that programs can parse it.
        out = self.stderr if options["json"] else self.stdout
        for standing in bridge.list_standing():
            out.write(f"Still open: {standing}", style_func=str)
        out.write(str(tally), style_func=str)

    def _print(self, change: Change, as_json: bool) -> None:
        self.stdout.write(change.as_json() if as_json else str(change))
        self.stdout.flush()


def check_options(options: dict[str, Any]) -> None:
    """
    :raises CommandError: if an option is wrong, or options contradict each other.
    """
    is_live = bool(options["interface"])
    if is_live == bool(options["replay"]):
        raise CommandError("Give either --replay FILE or --interface NAME (with --channel), but not both.")
    if not is_live and (options["channel"] or options["seconds"] is not None):
        raise CommandError("--channel and --seconds require --interface. A replay ends with its file.")
    # The conditions are negated so that "nan" fails too.
    if options["seconds"] is not None and not options["seconds"] > 0:
        raise CommandError("--seconds must be more than 0.")
    if not options["clear_after"] >= MIN_SILENCE_SECONDS:
        raise CommandError(
            f"--clear-after must be at least {MIN_SILENCE_SECONDS:g} seconds: RV-C devices may report only every 5 "
            "seconds, and reports can be lost."
        )


def read_rules(options: dict[str, Any]) -> RuleSet:
    """Return the rules. A dry run needs none.

    :raises CommandError: if rules are wrong, or there are none.
    """
    try:
        return load_rules(is_required=not options["dry_run"])
    except (ImproperlyConfigured, MissingExtra) as error:
        raise CommandError(str(error)) from error


def make_sender(options: dict[str, Any], rules: RuleSet, tally: Tally) -> Callable[[Change], None]:
    """Return the function that handles a change. It does nothing in a dry run."""
    if options["dry_run"]:
        return lambda change: None
    # A live bridge can start while the database is away, but not on a database that was never migrated.
    with suppress(Error):
        check_tables()
    return Sender(rules.make_sends, tally, survives_database_errors=bool(options["interface"])).send


def open_source(options: dict[str, Any], tally: Tally, stopped: threading.Event) -> Iterator[Frame | SilenceTick]:
    if options["replay"]:
        return read_frames(Path(options["replay"]), tally)
    ends_at = time.monotonic() + (options["seconds"] or float("inf"))
    return listen(options["interface"], options["channel"], lambda: stopped.is_set() or time.monotonic() >= ends_at)


@contextmanager
def stop_on_signals(live: bool) -> Iterator[threading.Event]:
    """Let a live bridge stop on SIGTERM and SIGINT, between two sends, so that it prints its summary."""
    stopped = threading.Event()
    # Only the main thread can set handlers. In other threads only --seconds ends the bridge.
    numbers = (signal.SIGTERM, signal.SIGINT) if live and threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, lambda *_: stopped.set()) for number in numbers}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
