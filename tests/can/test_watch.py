import io
import os
import pty
import subprocess
import sys

import pytest
from django.core.management.base import OutputWrapper

from notifications.can.watch import (
    BusRow,
    DeviceRow,
    ProblemRow,
    SignalRow,
    Watch,
    WatchState,
    format_age,
    make_console,
    share_rows,
)
from notifications.core import extras

pytestmark = pytest.mark.needs("rich")

NOW = 1_700_000_000.0
STATE = WatchState(
    now=NOW,
    buses=[BusRow("can0", True, 123_456, 812.4, 0.42), BusRow("/dev/serial/by-id/usb-ADAPTER", False, 5, 0.0)],
    devices=[DeviceRow("can0", 0x44, "control panel", 1_234, NOW - 3)],
    signals=[
        SignalRow("can0", 0x44, "DC_SOURCE_STATUS_1", 1, "dc_voltage", 11.85, "V", NOW - 1),
        SignalRow("can0", 0x45, "TANK_STATUS", None, "level", None, "%", NOW - 1),
    ],
    problems=[
        ProblemRow(1, "can0", "water heater", "SPN 131 below the normal range (FMI 1)", NOW - 90),
        ProblemRow(2, "can0", "furnace", "SPN 73 [bold]not responding[/bold] \x1b[2J", NOW - 7_200),
    ],
    counts={"frames": 123_456, "dropped": 3},
)


def console(**options):
    return extras.import_optional("rich.console").Console(file=io.StringIO(), width=100, **options)


def show(state: WatchState, **options) -> str:
    target = console(**options)
    target.print(Watch(target).draw(state, None))
    return target.file.getvalue()


def test_a_state_is_shown_with_words_for_each_severity():
    shown = show(STATE)
    for words in (
        "2023-11-14 22:13:20 UTC  123,456 frames  3 dropped",
        "CRITICAL  can0  furnace       SPN 73 [bold]not responding[/bold] ?[2J",
        "warning   can0  water heater  SPN 131 below the normal range (FMI 1)",
        "connected",
        "LOST",
        "…usb-ADAPTER",
        "DC_SOURCE_STATUS_1 1",
        "11.85 V",
        "not available",
        "0x44     can0  control panel",
    ):
        assert words in shown
    assert shown.index("CRITICAL") < shown.index("warning")
    assert "\x1b" not in shown


def test_severities_and_losses_have_colours():
    shown = show(STATE, force_terminal=True, color_system="standard")
    assert "\x1b[1;37;41mCRITICAL" in shown
    assert "\x1b[33mwarning" in shown
    assert "\x1b[1;31m3 dropped" in shown


def test_an_empty_state_says_so():
    shown = show(WatchState(NOW))
    assert "no frames yet" in shown
    assert shown.count("none") == 3


def test_the_tables_fit_into_the_terminal_and_name_what_is_missing():
    devices = [DeviceRow("can0", number, "", 1, NOW) for number in range(100)]
    problems = [ProblemRow(1, "can0", "pump", f"SPN {number}", NOW) for number in range(100)]
    target = console()
    watch = Watch(target)
    for number in range(9):
        watch.add_change(f"change {number}")
    state = WatchState(NOW, STATE.buses, devices, STATE.signals, problems)
    target.print(watch.draw(state, 40))
    lines = target.file.getvalue().splitlines()
    assert len(lines) <= 40
    assert sum("SPN" in line for line in lines) > 8
    assert sum("more" in line for line in lines) == 2
    assert [line.strip() for line in lines if "change" in line] == [f"change {number}" for number in range(4, 9)]


@pytest.mark.parametrize("height", [5, 24, 50])
def test_each_table_has_at_least_one_row(height):
    rows = share_rows([50, 2, 50, 50], 5, height)
    assert min(rows) >= 1
    assert sum(rows) + 3 * 4 + 1 + 5 <= max(height, 22)


def test_a_file_gets_a_snapshot_every_ten_seconds_and_one_at_the_end():
    now = [0.0]
    target = console()
    with Watch(target, clock=lambda: now[0]) as watch:
        for second in range(0, 25):
            now[0] = float(second)
            if watch.is_due:
                watch.update(WatchState(NOW + second))
        watch.update(WatchState(NOW + 25))
    times = [line[17:19] for line in target.file.getvalue().splitlines() if line.startswith("2023")]
    assert times == ["20", "30", "40", "45"]
    assert "\x1b" not in target.file.getvalue()


def test_a_terminal_is_redrawn_four_times_a_second_at_most():
    now = [0.0]
    target = console(force_terminal=True, height=40)
    with Watch(target, clock=lambda: now[0]) as watch:
        for millisecond in range(1000):
            now[0] = millisecond / 1000
            watch.update(STATE)
        drawn = target.file.getvalue().count("Faults and alerts")
    assert drawn == 4


def test_the_output_of_a_command_gets_no_additional_line_ends():
    out = io.StringIO()
    target = make_console(OutputWrapper(out))
    target.print("a", end="")
    target.print("b", end="")
    assert out.getvalue() == "ab"


def test_the_end_of_a_path_names_a_serial_bus():
    assert "/dev/serial" not in show(STATE)


@pytest.mark.parametrize(
    ("seconds", "words"), [(-1, "0 s"), (3.4, "3 s"), (119, "119 s"), (120, "2 min"), (7_300, "2 h"), (200_000, "2 d")]
)
def test_ages_have_one_unit(seconds, words):
    assert format_age(seconds) == words


PROGRAM = """
import sys
from rich.console import Console
from notifications.can.watch import Watch, WatchState
with Watch(Console()) as watch:
    watch.update(WatchState(1_700_000_000.0))
    if "fail" in sys.argv:
        raise KeyboardInterrupt
"""


def run_in_terminal(*arguments: str, term: str = "xterm") -> bytes:
    """What a program writes to a terminal."""
    main, side = pty.openpty()
    environment = {**os.environ, "TERM": term}
    environment.pop("NO_COLOR", None)
    subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], stdin=side, stdout=side, stderr=subprocess.DEVNULL, env=environment
    )
    os.close(side)
    written = b""
    try:
        while part := os.read(main, 10_000):
            written += part
    except OSError:
        pass  # Linux reports the end of a terminal as an error.
    os.close(main)
    return written


@pytest.mark.parametrize("arguments", [(), ("fail",)])
def test_the_terminal_is_restored_also_after_an_interruption(arguments):
    written = run_in_terminal(*arguments)
    enter, leave, hide, unhide = b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?25l", b"\x1b[?25h"
    assert written.count(enter) == written.count(leave) == 1
    assert written.index(enter) < written.index(leave)
    assert written.rindex(hide) < written.rindex(unhide)
    # The last state remains on the normal screen.
    assert written.rindex(b"Faults and alerts") > written.index(leave)


def test_a_terminal_without_cursor_gets_plain_text():
    written = run_in_terminal(term="dumb")
    assert b"Faults and alerts" in written
    assert b"\x1b" not in written
