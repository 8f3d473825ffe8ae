"""``bridge_can --watch``: a live table of buses, devices, signals and faults in the terminal.

The bridge fills a :class:`WatchState` now and then, and :class:`Watch` draws it. The reader of the bus only does the
former when :attr:`Watch.is_due` says so, a few times a second at most. A terminal that cannot move its cursor, or a
file, gets a snapshot every ten seconds instead.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from django.core.management.base import OutputWrapper

from notifications.core import extras

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

REDRAW_SECONDS = 0.25
SNAPSHOT_SECONDS = 10.0
RECENT_CHANGES = 5
SEVERITIES = (("info", "cyan"), ("warning", "yellow"), ("CRITICAL", "bold white on red"))
"""The word and the colour of each severity, because not everybody sees colours."""
NUMBERS = {"frames", "frames/s", "load", "seen", "for", "value"}
FREE_TEXT = {"problem", "state", "signal", "name"}
BUS_LETTERS = 16
LOST = ("LOST", "bold white on red")
CONNECTED = ("connected", "green")


@dataclass(frozen=True, slots=True)
class BusRow:
    """One bus.

    :param rate: frames in a second, lately.
    :param load: the part of the bus's capacity that is used, from 0 to 1; None if the bit rate is not known.
    """

    name: str
    is_connected: bool
    frames: int
    rate: float
    load: float | None = None


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """One device. ``last_seen`` is in seconds since 1970, on the clock of the frames."""

    bus: str
    source_address: int
    name: str
    frames: int
    last_seen: float


@dataclass(frozen=True, slots=True)
class SignalRow:
    """The last value of a signal; None if the device says that it is not available."""

    bus: str
    source_address: int
    message: str
    instance: int | None
    name: str
    value: float | str | None
    unit: str
    timestamp: float


@dataclass(frozen=True, slots=True)
class ProblemRow:
    """A fault that stands or an alert that has begun.

    :param severity: 0 info, 1 warning, 2 critical.
    :param since: seconds since 1970, on the clock of the frames.
    """

    severity: int
    bus: str
    device: str
    text: str
    since: float


@dataclass(frozen=True)
class WatchState:
    """What a watch shows.

    :param now: the time on the clock of the frames, in seconds since 1970.
    :param counts: further numbers with their words, such as ``{"dropped": 0}``. Those in ``losses`` are red unless 0.
    """

    now: float
    buses: Sequence[BusRow] = ()
    devices: Sequence[DeviceRow] = ()
    signals: Sequence[SignalRow] = ()
    problems: Sequence[ProblemRow] = ()
    counts: dict[str, int] = field(default_factory=dict)
    losses: frozenset[str] = frozenset({"dropped", "malformed", "failed"})


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
    """Draws the state of a bridge until the block is left. Then the terminal is as before, and the last state is
    printed below it.

    ::

        with Watch(console) as watch:
            for change in changes:
                watch.add_change(str(change))
                if watch.is_due:
                    watch.update(state())

    :param console: a ``rich.console.Console``, see :func:`make_console`.
    :param clock: returns seconds; for tests.
    :raises MissingExtra: if rich is not installed.
    """

    def __init__(self, console: "Console", clock: Callable[[], float] = time.monotonic) -> None:
        self.console = console
        self._clock = clock
        self._rich = {name: extras.import_optional(f"rich.{name}") for name in ("console", "live", "table", "text")}
        self._live: Any = None
        self._state: WatchState | None = None
        self._due_at = 0.0
        self._changes: deque[str] = deque(maxlen=RECENT_CHANGES)

    @property
    def is_live(self) -> bool:
        """Whether the terminal can be redrawn."""
        return self.console.is_terminal and not self.console.is_dumb_terminal

    @property
    def is_due(self) -> bool:
        """Whether :meth:`update` would draw something now. This is cheap, so ask before a state is made."""
        return self._clock() >= self._due_at

    def __enter__(self) -> Self:
        if self.is_live:
            # The watch draws itself; a thread of rich would need time while the bus is read.
            self._live = self._rich["live"].Live(
                console=self.console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()
        if self._state is not None:
            self.console.print(self.draw(self._state, None))

    def add_change(self, sentence: str) -> None:
        """Show a change below the tables."""
        self._changes.append(sentence)

    def update(self, state: WatchState) -> None:
        """Draw a state, if it is time to do so."""
        self._state = state
        if not self.is_due:
            return
        self._due_at = self._clock() + (REDRAW_SECONDS if self._live else SNAPSHOT_SECONDS)
        if self._live is None:
            self.console.print(self.draw(state, None))
        else:
            self._live.update(self.draw(state, self.console.height), refresh=True)

    def draw(self, state: WatchState, height: int | None) -> "RenderableType":
        """Return what shows a state, in at most ``height`` lines. Problems have the first claim on them."""
        tables = [self._draw_problems, self._draw_buses, self._draw_signals, self._draw_devices]
        rows = share_rows([max(len(part), 1) for part in list_parts(state)], len(self._changes), height)
        parts: list[RenderableType] = [self._draw_header(state)]
        parts += [draw(state, count) for draw, count in zip(tables, rows, strict=True)]
        parts += [self._text(change, no_wrap=True, overflow="ellipsis") for change in self._changes]
        return self._rich["console"].Group(*parts)

    def _draw_header(self, state: WatchState) -> "RenderableType":
        text = self._text(f"{datetime.fromtimestamp(state.now, UTC):%Y-%m-%d %H:%M:%S} UTC", "bold")
        text.no_wrap, text.overflow = True, "ellipsis"
        for words, number in state.counts.items():
            text.append("  ")
            text.append(f"{number} {words}", "bold red" if number and words in state.losses else "")
        return text

    def _draw_problems(self, state: WatchState, rows: int) -> "Table":
        table = self._make_table("Faults and alerts", "severity", "bus", "device", "problem", "for")
        problems = sorted(state.problems, key=lambda one: (-one.severity, one.since))
        for one in problems[:rows]:
            severity = self._text(*SEVERITIES[one.severity])
            table.add_row(severity, *self._texts(shorten_bus(one.bus), one.device, one.text, format_age(state.now - one.since)))
        return self._end_table(table, len(problems) - rows, "none")

    def _draw_buses(self, state: WatchState, rows: int) -> "Table":
        table = self._make_table("Buses", "bus", "state", "frames", "frames/s", "load")
        for one in state.buses[:rows]:
            load = "" if one.load is None else f"{one.load:.0%}"
            connection = self._text(*(CONNECTED if one.is_connected else LOST))
            table.add_row(self._text(shorten_bus(one.name)), connection, *self._texts(f"{one.frames:,}", f"{one.rate:,.0f}", load))
        return self._end_table(table, len(state.buses) - rows, "no frames yet")

    def _draw_signals(self, state: WatchState, rows: int) -> "Table":
        table = self._make_table("Signals", "message", "bus", "from", "signal", "value", "seen")
        for one in state.signals[:rows]:
            message = one.message if one.instance is None else f"{one.message} {one.instance}"
            address, age = format_address(one.source_address), format_age(state.now - one.timestamp)
            table.add_row(*self._texts(message, shorten_bus(one.bus), address, one.name, format_value(one), age))
        return self._end_table(table, len(state.signals) - rows, "none that a rule reads")

    def _draw_devices(self, state: WatchState, rows: int) -> "Table":
        table = self._make_table("Devices", "address", "bus", "name", "frames", "seen")
        for one in state.devices[:rows]:
            address, age = format_address(one.source_address), format_age(state.now - one.last_seen)
            table.add_row(*self._texts(address, shorten_bus(one.bus), one.name, f"{one.frames:,}", age))
        return self._end_table(table, len(state.devices) - rows, "none")

    def _make_table(self, title: str, *columns: str) -> "Table":
        table = self._rich["table"].Table(
            title=title, title_justify="left", title_style="bold", box=None, expand=True, pad_edge=False
        )
        for column in columns:
            justify = "right" if column in NUMBERS else "left"
            # The column of the free text gets what the others leave.
            ratio = 1 if column in FREE_TEXT else None
            table.add_column(column, justify=justify, no_wrap=True, header_style="dim", ratio=ratio)
        return table

    def _end_table(self, table: "Table", missing: int, empty: str) -> "Table":
        if missing > 0:
            table.add_row(self._text(f"… {missing} more", "dim"))
        elif not table.row_count:
            table.add_row(self._text(empty, "dim"))
        return table

    def _texts(self, *words: str) -> list[Any]:
        return [self._text(word) for word in words]

    def _text(self, words: str, style: str = "", **options: Any) -> Any:
        """Names come from the bus, so they must be neither markup nor control characters for the terminal."""
        printable = "".join(character if character.isprintable() else "?" for character in words)
        return self._rich["text"].Text(printable, style, **options)


def list_parts(state: WatchState) -> list[Sequence[Any]]:
    """Return the rows of the tables, in the order in which they are shown."""
    return [state.problems, state.buses, state.signals, state.devices]


def share_rows(wanted: Sequence[int], changes: int, height: int | None) -> list[int]:
    """Return how many rows each table gets, so that all of them fit into ``height`` lines; all rows without it.

    Each table has two lines of its own, and one more if rows are missing. A table that needs less than its share
    leaves the rest to those after it.
    """
    if height is None:
        return list(wanted)
    left = height - 1 - changes - 3 * len(wanted)
    rows = []
    for number, count in enumerate(wanted):
        share = max(left // (len(wanted) - number), 1)
        # Half of what is left may go to the first table, which shows problems.
        share = max(share, left // 2) if number == 0 else share
        rows.append(min(count, share))
        left -= rows[-1]
    return rows


def format_address(address: int) -> str:
    return f"0x{address:02X}"


def shorten_bus(name: str) -> str:
    """Return the end of a long name: the path of a serial adapter differs there."""
    return name if len(name) <= BUS_LETTERS else "…" + name[1 - BUS_LETTERS :]


def format_age(seconds: float) -> str:
    """Return a duration with its largest unit, such as ``"3 s"`` or ``"2 h"``."""
    seconds = max(seconds, 0.0)
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def format_value(signal: SignalRow) -> str:
    if signal.value is None:
        return "not available"
    value = f"{signal.value:g}" if isinstance(signal.value, float) else str(signal.value)
    return f"{value} {signal.unit}".rstrip()
