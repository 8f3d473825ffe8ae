"""``bridge_can --watch``: a live table of faults, buses, signals and devices in the terminal.

The table is drawn by a thread of its own, four times a second, so it does not wait for the bus, nor the bus for it.
A terminal that cannot move its cursor, or a file, gets a snapshot every ten seconds instead.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from django.core.management.base import OutputWrapper

from notifications.can.activity import Activity, Snapshot
from notifications.can.changes import Change
from notifications.can.databases import decoding_errors
from notifications.can.faults import FaultChange
from notifications.can.signals import Message, Reading, SignalDecoder, format_value
from notifications.can.spn_names import RVC_DEVICES, find_spn_name
from notifications.can.tally import Tally
from notifications.core import extras

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

logger = logging.getLogger("notifications.can")

REDRAW_SECONDS = 0.25
SNAPSHOT_SECONDS = 10.0
RECENT_CHANGES = 5
MAX_PROBLEMS = 1000
SEVERITIES = (("info", "cyan"), ("warning", "yellow"), ("CRITICAL", "bold white on red"))
"""The word and the colour of each severity, because not everybody sees colours."""
LOST = ("LOST", "bold white on red")
CONNECTED = ("connected", "green")
ENDING = {"cleared", "ended"}
LOSSES = {"malformed": "malformed", "overflowed": "changes dropped", "dropped": "reports dropped", "failed": "failed"}
"""The counts of a tally that are shown if they are not 0, and their words."""

NUMBERS = {"frames", "frames/s", "seen", "since"}
FREE_TEXT = {"problem", "state", "values", "name"}
BUS_LETTERS = 16
LINES_PER_TABLE = 3
"""The title, the header, and the line that says how many rows are missing."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A fault that stands or an alert that has begun."""

    severity: int
    bus: str
    source: int | None
    text: str
    since: datetime


class UnchangedText:
    """A stream for rich that writes to the output of a command without adding line ends, as that does."""

    def __init__(self, output: OutputWrapper) -> None:
        self._output = output

    def write(self, text: str) -> None:
        self._output.write(text, style_func=str, ending="")

    def flush(self) -> None:
        self._output.flush()

    def isatty(self) -> bool:
        return self._output.isatty()


def make_console(output: OutputWrapper) -> "Console":
    """Return a console that writes to the output of a command.

    :raises MissingExtra: if rich is not installed.
    """
    return extras.import_optional("rich.console").Console(file=UnchangedText(output))


class Watch:
    """Draws what a bridge sees until the block is left. Then the terminal is as before, and the last state is printed.

    ::

        with open_watch(self.stdout, rules.messages, tally, pending) as watch:
            for change in bridge.process(watch.activity.observe(items)):
                watch.add_change(change)

    :param console: a ``rich.console.Console``, see :func:`make_console`.
    :param pending: the changes that wait to be sent.
    :param name_device: returns the name of a source address; by default that of RV-C, or nothing.
    :raises MissingExtra: if rich is not installed.
    """

    def __init__(
        self,
        console: "Console",
        activity: Activity,
        tally: Tally,
        pending: Sized = (),
        name_device: Callable[[int], str] = lambda address: RVC_DEVICES.get(address, ""),
    ) -> None:
        self.console = console
        self.activity = activity
        self._tally, self._pending, self._name_device = tally, pending, name_device
        self._rich = {name: extras.import_optional(f"rich.{name}") for name in ("console", "live", "table", "text")}
        self._live: Any = None
        self._problems: dict[str, Problem] = {}
        self._recent: deque[str] = deque(maxlen=RECENT_CHANGES)
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._draw_until_stopped, name="klaxon-can-watch", daemon=True)

    @property
    def is_live(self) -> bool:
        """Whether the terminal can be redrawn."""
        return self.console.is_terminal and not self.console.is_dumb_terminal

    def __enter__(self) -> Self:
        if self.is_live:
            self._live = self._rich["live"].Live(
                console=self.console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
            )
            self._live.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()
        with log_lost_terminal():
            if self._live is not None:
                self._live.stop()
            self.console.print(self.draw())

    def add_change(self, change: Change) -> None:
        """Show a change. Any thread may call this."""
        if isinstance(change, Reading):
            # It is among the signals already.
            return
        with self._lock:
            self._recent.append(str(change))
            # The key of a fault changes if its device claims another address.
            name = change.correlation_id
            before = self._problems.pop(name, None)
            has_ended = change.kind in ENDING or getattr(change, "is_over", False)
            if not has_ended and len(self._problems) < MAX_PROBLEMS:
                self._problems[name] = make_problem(change, before.since if before else change.at)

    def draw(self, height: int | None = None) -> "RenderableType":
        """Return what is to be seen now, in at most ``height`` lines. Faults have the first claim on them."""
        snapshot = self.activity.describe()
        with self._lock:
            problems = sorted(self._problems.values(), key=lambda one: (-one.severity, one.since))
            recent = list(self._recent)
        tables = [
            self._draw_problems(problems, snapshot),
            self._draw_buses(snapshot),
            self._draw_signals(snapshot),
            self._draw_devices(snapshot),
        ]
        rows = share_rows([max(len(found), 1) for _columns, found in tables], len(recent), height)
        titles = ("Faults and alerts", "Buses", "Signals", "Devices")
        parts: list[RenderableType] = [self._draw_header(snapshot)]
        for title, (columns, found), count in zip(titles, tables, rows, strict=True):
            parts.append(self._make_table(title, columns, found, count))
        parts += [self._text(sentence, no_wrap=True, overflow="ellipsis") for sentence in recent]
        return self._rich["console"].Group(*parts)

    def _draw_until_stopped(self) -> None:
        seconds = REDRAW_SECONDS if self._live else SNAPSHOT_SECONDS
        with log_lost_terminal():
            while not self._stopped.wait(seconds):
                if self._live is None:
                    self.console.print(self.draw())
                else:
                    self._live.update(self.draw(self.console.height), refresh=True)

    def _draw_header(self, snapshot: Snapshot) -> "RenderableType":
        now = "no frames yet" if snapshot.now is None else f"{to_time(snapshot.now):%Y-%m-%d %H:%M:%S} UTC"
        text = self._text(now, "bold", no_wrap=True, overflow="ellipsis")
        text.append(f"  {self._tally.frames:,} frames, {len(self._pending):,} changes waiting")
        for name, words in LOSSES.items():
            if count := getattr(self._tally, name):
                text.append(f", {count:,} {words}", "bold red")
        return text

    def _draw_problems(self, problems: Sequence[Problem], snapshot: Snapshot) -> tuple[Sequence[str], list[list[Any]]]:
        rows = [
            [
                SEVERITIES[one.severity],
                shorten_bus(one.bus),
                self._describe_source(one.source),
                one.text,
                format_age((snapshot.now or 0.0) - one.since.timestamp()),
            ]
            for one in problems
        ]
        return ("severity", "bus", "from", "problem", "since"), rows

    def _draw_buses(self, snapshot: Snapshot) -> tuple[Sequence[str], list[list[Any]]]:
        rows = [
            [
                shorten_bus(one.name) or "(no name)",
                CONNECTED if one.is_connected else LOST,
                f"{one.frames:,}",
                f"{one.rate:,.0f}",
            ]
            for one in snapshot.buses
        ]
        return ("bus", "state", "frames", "frames/s"), rows

    def _draw_signals(self, snapshot: Snapshot) -> tuple[Sequence[str], list[list[Any]]]:
        rows = [
            [
                reading.message if reading.instance is None else f"{reading.message} {reading.instance}",
                shorten_bus(reading.bus),
                format_address(reading.source_address),
                format_values(reading),
                format_age((snapshot.now or 0.0) - reading.timestamp),
            ]
            for reading in snapshot.readings
        ]
        return ("message", "bus", "from", "values", "seen"), rows

    def _draw_devices(self, snapshot: Snapshot) -> tuple[Sequence[str], list[list[Any]]]:
        rows = [
            [
                format_address(one.source_address),
                shorten_bus(one.bus),
                self._name_device(one.source_address),
                f"{one.frames:,}",
                format_age((snapshot.now or 0.0) - one.last_seen),
            ]
            for one in snapshot.devices
        ]
        return ("address", "bus", "name", "frames", "seen"), rows

    def _describe_source(self, address: int | None) -> str:
        return "" if address is None else f"{format_address(address)} {self._name_device(address)}".rstrip()

    def _make_table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], count: int) -> "Table":
        table = self._rich["table"].Table(
            title=title, title_justify="left", title_style="bold", box=None, expand=True, pad_edge=False
        )
        for column in columns:
            justify = "right" if column in NUMBERS else "left"
            # The column of the free text gets what the others leave.
            ratio = 1 if column in FREE_TEXT else None
            table.add_column(column, justify=justify, no_wrap=True, header_style="dim", ratio=ratio)
        for row in rows[:count]:
            table.add_row(*(self._text(*cell) if isinstance(cell, tuple) else self._text(cell) for cell in row))
        if len(rows) > count:
            table.add_row(self._text(f"… {len(rows) - count} more", "dim"))
        elif not rows:
            table.add_row(self._text("none", "dim"))
        return table

    def _text(self, words: str, style: str = "", **options: Any) -> Any:
        """Names come from the bus, so they must be neither markup nor control characters for the terminal."""
        printable = "".join(character if character.isprintable() else "?" for character in words)
        return self._rich["text"].Text(printable, style, **options)


@contextmanager
def log_lost_terminal() -> Iterator[None]:
    """Log that the terminal was closed: that ends the watch, and must not end the bridge."""
    try:
        yield
    except OSError as error:
        logger.warning("The watch cannot write to its terminal: %s", error)


def open_watch(output: OutputWrapper, messages: Iterable[Message], tally: Tally, pending: Sized = ()) -> Watch:
    """Return a watch for the output of a command. It shows the values of these messages, which rules read.

    :raises MissingExtra: if rich is not installed.
    """
    wanted = tuple(messages)
    # The decoder has a tally of its own, because the one of the bridge counts each frame already.
    decoder = SignalDecoder(wanted, Tally(), decoding_errors()) if wanted else None
    return Watch(make_console(output), Activity(decoder), tally, pending)


def make_problem(change: Change, since: datetime) -> Problem:
    """Return the row of a change of a fault, an alert or a flood."""
    values: Mapping[str, Any] = change.as_dict()
    if isinstance(change, FaultChange):
        part = find_spn_name(change.protocol, change.dsa, change.instance, change.spn)
        text = f"{part} {change.problem} (SPN {change.spn}, FMI {change.fmi})"
    elif values.get("field"):
        text = f"{values['rule']}: {values['field']} {format_value(values['value'], values['unit'])}"
    else:
        text = ": ".join(str(values[name]) for name in ("rule", "text") if values.get(name))
    return Problem(change.severity, change.bus, values.get("source_address"), text or str(change), since)


def format_values(reading: Reading) -> str:
    """Return the values that are available, with their units. The instance stands elsewhere."""
    known = [
        f"{name} {format_value(value, reading.units.get(name, ''))}"
        for name, value in reading.values.items()
        if value is not None and name != "Instance"
    ]
    return ", ".join(known) or "not available"


def share_rows(wanted: Sequence[int], changes: int, height: int | None) -> list[int]:
    """Return how many rows each table gets, so that all of them fit into ``height`` lines; all rows without it.

    A table that needs less than its share leaves the rest to those after it.
    """
    if height is None:
        return list(wanted)
    left = height - 1 - changes - LINES_PER_TABLE * len(wanted)
    rows = []
    for number, count in enumerate(wanted):
        # Half of what is left may go to the first table, which shows faults.
        share = left // 2 if number == 0 else left // (len(wanted) - number)
        rows.append(min(count, max(share, 1)))
        left -= rows[-1]
    return rows


def to_time(timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)


def format_address(address: int | None) -> str:
    return "" if address is None else f"0x{address:02X}"


def shorten_bus(name: str) -> str:
    """Return the end of a long name: the path of a serial adapter differs there."""
    return name if len(name) <= BUS_LETTERS else "…" + name[1 - BUS_LETTERS :]


def format_age(seconds: float) -> str:
    """Return a duration with one unit, such as ``"3 s"`` or ``"2 h"``."""
    seconds = max(seconds, 0.0)
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
