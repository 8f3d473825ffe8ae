"""Send notifications about a vehicle's CAN bus: live, or from a recording."""

import signal
import threading
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import Error

from notifications import conf
from notifications.can.activity import Activity
from notifications.can.bridge import Bridge
from notifications.can.bus import BusListener
from notifications.can.bus_options import SOURCES, BusOptions, find_bus_options
from notifications.can.changes import Change
from notifications.can.check_rules import check_rules
from notifications.can.fault_tracker import MIN_SILENCE_SECONDS, FaultTracker
from notifications.can.filters import make_filters
from notifications.can.frame import Item
from notifications.can.live import Every, run_live
from notifications.can.pending_changes import PendingChanges
from notifications.can.recordings import read_frames
from notifications.can.replay import read_until, slow_down
from notifications.can.rules import RuleSet, load_rules
from notifications.can.sender import Sender
from notifications.can.spn_names import find_device_name
from notifications.can.stats import RVC_BITRATE, Stats
from notifications.can.store import Store
from notifications.can.tally import Tally
from notifications.can.watch import Watch, make_console
from notifications.exceptions import KlaxonError
from notifications.management.base import check_tables

UNSENT = 3
"""The exit code if changes were not sent before the bridge had to stop."""
KEEP_UP_SECONDS = 1.0
Shown = tuple[Callable[[Iterable[Item]], Iterable[Item]], Callable[[Change], object]]
BUS_OPTIONS = ("interface", "channel", "bitrate", "section")


class Command(BaseCommand):
    help = (
        "Listen to a CAN bus, or replay a recording, and send the notifications that NOTIFICATIONS['CAN_RULES'] "
        "returns. A live bridge runs until it receives SIGTERM or SIGINT. The exit code is 0 after that, 1 after an "
        f"error, and {UNSENT} if changes could not be sent before the end."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--replay", metavar="FILE", help="a recording: candump .log, .log.gz, .trc, .asc, .blf, …")
        parser.add_argument("--speed", type=float, metavar="FACTOR", help="replay at 1, 2, … times the recorded speed")
        parser.add_argument("--interface", help="a python-can interface, such as socketcan, slcan or virtual")
        parser.add_argument("--channel", help="the channel of the interface, such as can0")
        parser.add_argument("--bitrate", type=int, help="the bit rate of the bus, such as 250000")
        parser.add_argument(
            "--option",
            action="append",
            metavar="NAME=VALUE",
            help="another option of the interface, such as host=127.0.0.1; can be repeated",
        )
        parser.add_argument("--section", metavar="NAME", help="the section of python-can's file can.conf to read")
        parser.add_argument("--seconds", type=float, help="stop listening after this many seconds")
        parser.add_argument("--dry-run", action="store_true", help="send nothing; requires no rules and no database")
        parser.add_argument("--check", action="store_true", help="check rules and options, and do not listen")
        parser.add_argument("--json", action="store_true", help="print only JSON, one object for each change and line")
        parser.add_argument("--watch", action="store_true", help="show devices, signals and faults in a live table")
        parser.add_argument(
            "--stats",
            type=float,
            nargs="?",
            const=10.0,
            metavar="SECONDS",
            help="print frames a second and the load of the bus (every 10 seconds), and a table at the end",
        )
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
        try:
            if options["check"]:
                self._check(options)
                return
            with stop_on_signals() as stopped:
                self._run(options, tally, stopped)
        except KlaxonError as error:
            raise CommandError(f"{error} (So far: {tally})" if tally.frames else str(error)) from error

    def _check(self, options: dict[str, Any]) -> None:
        bus = None if options["replay"] else find_bus(options)
        try:
            problems = check_rules()
        except Error as error:
            raise CommandError(f"The recipients of rules cannot be checked without the database: {error}") from error
        for problem in problems:
            self.stderr.write(str(problem), style_func=str)
        if problems:
            raise CommandError(f"{len(problems)} problems were found.")
        read_rules(options)
        where = "" if bus is None else f" The bus is {bus.name!r} of the interface {bus.interface!r}."
        self.stdout.write(f"The rules and options are valid.{where}")

    def _run(self, options: dict[str, Any], tally: Tally, stopped: threading.Event) -> None:
        bus = None if options["replay"] else require_bus(options)
        rules = prepare_rules(options)
        bridge = rules.make_bridge(FaultTracker(tally, options["clear_after"]))
        sender = make_sender(options, rules, bridge, bus, stopped)
        pending = PendingChanges(tally)
        stats = self._make_stats(options, bus, pending)
        items = (
            self._replay(options, tally, stopped) if bus is None else self._listen(options, rules, bus, tally, stopped)
        )
        with self._show(options, rules, tally, pending) as (observe, show):

            def handle(change: Change) -> None:
                show(change)
                if sender is not None:
                    sender.send(change)

            changes = bridge.process(observe(items if stats is None else stats.count(items)))
            if bus is None:
                for change in changes:
                    handle(change)
            elif sender is None:
                run_live(changes, pending, handle, lambda: None, stopped, conf.current().stop_seconds)
            else:
                if options["watch"]:
                    bridge.on_restored = show
                keep_up = Every(KEEP_UP_SECONDS, sender.keep_up)
                run_live(changes, pending, handle, keep_up, stopped, conf.current().stop_seconds)
                sender.keep_up(is_last=True)
        tally.unsent = len(pending)
        self._summarise(options, bridge, tally, stats)
        if bus is None and stopped.is_set():
            raise CommandError("The replay was stopped before the end of the recording.")

    @contextmanager
    def _show(self, options: dict[str, Any], rules: RuleSet, tally: Tally, pending: PendingChanges) -> Iterator[Shown]:
        """Yield what observes the items of the source, and what shows a change."""
        if not options["watch"]:
            yield (lambda items: items), lambda change: self._print(change, options["json"])
            return
        # Decoders count in their tally, so the watch has one of its own.
        activity = Activity(rules.make_decoder(Tally()))
        with Watch(make_console(self.stdout), activity, tally, pending, partial(find_device_name, "rvc")) as watch:
            yield activity.observe, watch.add_change

    def _summarise(self, options: dict[str, Any], bridge: Bridge, tally: Tally, stats: Stats | None) -> None:
        # With --json standard output has only JSON, so that programs can parse it.
        out = self.stderr if options["json"] else self.stdout
        for line in () if stats is None else stats.list_rows():
            self.stderr.write(line, style_func=str)
        for standing in bridge.list_standing():
            out.write(f"Still open: {standing}", style_func=str)
        out.write(str(tally), style_func=str)
        if tally.unsent:
            raise CommandError(
                f"{tally.unsent} changes were not sent within {conf.current().stop_seconds:g} seconds. Faults that "
                "stand are reported again after the next start.",
                returncode=UNSENT,
            )

    def _replay(self, options: dict[str, Any], tally: Tally, stopped: threading.Event) -> Iterator[Item]:
        frames = read_frames(Path(options["replay"]), tally)
        if options["speed"] is not None:
            return slow_down(frames, options["speed"], stopped)
        return read_until(frames, stopped)

    def _listen(
        self, options: dict[str, Any], rules: RuleSet, bus: BusOptions, tally: Tally, stopped: threading.Event
    ) -> Iterator[Item]:
        ends_at = time.monotonic() + (options["seconds"] or float("inf"))
        # Whoever looks at the traffic wants to see all of it.
        needs_all = options["stats"] or options["watch"] or rules.needs_all_frames
        filters = None if needs_all else make_filters(rules.dgns)
        should_stop = lambda: stopped.is_set() or time.monotonic() >= ends_at  # noqa: E731 - shorter
        return BusListener(bus, should_stop, tally, filters).listen()

    def _make_stats(self, options: dict[str, Any], bus: BusOptions | None, pending: PendingChanges) -> Stats | None:
        if options["stats"] is None:
            return None
        bitrate = RVC_BITRATE if bus is None else int(bus.others.get("bitrate") or RVC_BITRATE)
        return Stats(lambda line: self.stderr.write(line, style_func=str), pending, options["stats"], bitrate)

    def _print(self, change: Change, as_json: bool) -> None:
        self.stdout.write(change.as_json() if as_json else str(change))
        self.stdout.flush()


def check_options(options: dict[str, Any]) -> None:
    """
    :raises CommandError: if an option is wrong, or options contradict each other.
    """
    is_replay = bool(options["replay"])
    if is_replay and options["interface"]:
        raise CommandError("Give either --replay FILE or --interface NAME (with --channel), but not both.")
    live_only = [name for name in (*BUS_OPTIONS, "option", "seconds") if options[name] is not None]
    if is_replay and live_only:
        raise CommandError(f"--{' and --'.join(live_only)} require --interface. A replay ends with its file.")
    if not is_replay and options["speed"] is not None:
        raise CommandError("--speed requires --replay FILE.")
    if options["watch"] and (options["json"] or options["stats"] is not None):
        raise CommandError("--watch fills the terminal, so it allows neither --json nor --stats.")
    for name in ("seconds", "speed", "stats"):
        # The conditions are negated so that "nan" fails too.
        if options[name] is not None and not options[name] > 0:
            raise CommandError(f"--{name} must be more than 0.")
    if not options["clear_after"] >= MIN_SILENCE_SECONDS:
        raise CommandError(
            f"--clear-after must be at least {MIN_SILENCE_SECONDS:g} seconds: RV-C devices may report only every 5 "
            "seconds, and reports can be lost."
        )


def find_bus(options: dict[str, Any]) -> BusOptions | None:
    """Return the bus that the options or any other source name."""
    arguments = {name: options[name] for name in ("interface", "channel", "bitrate") if options[name] is not None}
    for text in options["option"] or ():
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise CommandError(f"--option must be NAME=VALUE, such as host=127.0.0.1, but it is {text!r}.")
        arguments[name] = value
    return find_bus_options(arguments, options["section"])


def require_bus(options: dict[str, Any]) -> BusOptions:
    bus = find_bus(options)
    if bus is None:
        raise CommandError(f"Give either --replay FILE or --interface NAME. A bus can be named by {SOURCES}.")
    return bus


def read_rules(options: dict[str, Any]) -> RuleSet:
    """Return the rules. A dry run needs none.

    :raises CommandError: if rules are wrong, or there are none.
    """
    try:
        return load_rules(is_required=not options["dry_run"])
    except ImproperlyConfigured as error:
        raise CommandError(str(error)) from error


def prepare_rules(options: dict[str, Any]) -> RuleSet:
    """Return the rules, after checking the tables unless this is a dry run.

    :raises CommandError: if the database was never migrated, or as for :func:`read_rules`.
    """
    if not options["dry_run"]:
        # A live bridge can start while the database is away.
        with suppress(Error):
            check_tables()
    return read_rules(options)


def make_sender(
    options: dict[str, Any], rules: RuleSet, bridge: Bridge, bus: BusOptions | None, stopped: threading.Event
) -> Sender | None:
    """Return what sends the notifications about changes; None in a dry run."""
    if options["dry_run"]:
        return None
    if bus is None:
        return Sender(rules.make_sends, bridge.tally)
    sender = Sender(rules.make_sends, bridge.tally, Store(rules.names), stopped)
    sender.connect(bus.name, bridge.restore, bridge.take_seen)
    return sender


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """Let the bridge stop on SIGTERM and SIGINT, between two sends, so that it prints its summary.

    A second signal ends the process at once.
    """
    stopped = threading.Event()
    # Only the main thread can set handlers. In other threads only --seconds ends a live bridge.
    is_main = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGTERM, signal.SIGINT) if is_main else ()
    before: dict[int, Any] = {}

    def stop(number: int, frame: object) -> None:
        stopped.set()
        for each, handler in before.items():
            signal.signal(each, handler)

    before.update({number: signal.signal(number, stop) for number in numbers})
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
