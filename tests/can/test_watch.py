import io
import os
import pty
import re
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from django.core.management.base import OutputWrapper

from notifications.can import watch as watching
from notifications.can.activity import MAX_DEVICES, Activity
from notifications.can.databases import Databases
from notifications.can.faults import FaultChange
from notifications.can.frame import BusEvent, Frame, SilenceTick
from notifications.can.signals import SignalDecoder
from notifications.can.tally import Tally
from notifications.can.watch import Watch, format_age, make_console, open_watch, share_rows
from notifications.core import extras
from tests.can import pictures

NOW = 1_700_000_000.0
HEALTHY, BATTERY = bytes.fromhex("0544FFFFFFFFFFFF"), bytes.fromhex("0178ED0000943577")
NAMES = {0x44: "control panel", 0x5E: "furnace"}


@dataclass
class Change:
    """What all changes have in common, and what those of faults or alerts have."""

    kind: str
    severity: int = 1
    bus: str = "can0"
    at: datetime = field(default_factory=lambda: datetime.fromtimestamp(NOW - 90, UTC))
    values: dict = field(default_factory=lambda: {"rule": "battery", "text": "DcVoltage is 11.8 V"})

    @property
    def correlation_id(self):
        return str(self.values)

    def as_dict(self):
        return self.values

    def __str__(self):
        return f"{self.kind} {self.values}"


def fault(kind: str, severity: int, spn: int = 73, at: float = NOW - 90) -> FaultChange:
    lamps = ((), ("yellow",), ("red",))[severity]
    time = datetime.fromtimestamp(at, UTC)
    return FaultChange(kind, "rvc", "can0", 0x5E, 0x5E, None, spn, 7, lamps, 1, time)


def dm_rv(after: float, source: int = 0x44, bus: str = "can0") -> Frame:
    return Frame(NOW + after, bus, 0x19FECA00 | source, HEALTHY)


@pytest.fixture
def decoder():
    pytest.importorskip("cantools")
    return SignalDecoder([Databases().find("DC_SOURCE_STATUS_1")], Tally())


def console(**options):
    return extras.import_optional("rich.console").Console(file=io.StringIO(), width=100, **options)


def make_watch(items=(), changes=(), target=None, decoder=None, **counts) -> Watch:
    activity = Activity(decoder)
    frames = list(activity.observe(items))
    watch = Watch(
        target or console(), activity, Tally(frames=len(frames), **counts), [], lambda one: NAMES.get(one, "")
    )
    for change in changes:
        watch.add_change(change)
    return watch


def show(watch: Watch, height: int | None = None) -> str:
    watch.console.print(watch.draw(height))
    return watch.console.file.getvalue()


class TestActivity:
    """What the reader of the bus remembers."""

    def test_devices_are_counted_for_each_bus(self):
        activity = Activity()
        items = [dm_rv(0), dm_rv(1), dm_rv(2, 0x45), dm_rv(3, bus="can1"), SilenceTick(NOW + 8)]
        assert list(activity.observe(items)) == items
        seen = activity.describe()
        assert seen.now == NOW + 8
        assert [(one.bus, one.source_address, one.frames, one.last_seen - NOW) for one in seen.devices] == [
            ("can0", 0x44, 2, 1),
            ("can0", 0x45, 1, 2),
            ("can1", 0x44, 1, 3),
        ]

    def test_a_bus_is_lost_and_comes_back(self):
        activity = Activity()
        states = []
        for item in activity.observe([dm_rv(0), BusEvent("lost", NOW, "can0", "gone"), BusEvent("back", NOW, "can0")]):
            [bus] = activity.describe().buses
            states.append((item.__class__.__name__, bus.is_connected))
        assert [connected for _name, connected in states] == [True, False, True]

    def test_the_rate_is_that_since_the_last_description(self):
        now = [100.0]
        activity = Activity(clock=lambda: now[0])
        for frames, seconds, rate in ((10, 2.0, 5), (0, 1.0, 0), (30, 3.0, 10)):
            list(activity.observe([dm_rv(0)] * frames))
            now[0] += seconds
            [bus] = activity.describe().buses
            assert bus.rate == rate

    def test_the_memory_is_bounded(self):
        activity = Activity()
        frames = (dm_rv(0, number % 256, f"can{number // 256}") for number in range(MAX_DEVICES + 1000))
        list(activity.observe(frames))
        assert len(activity.describe().devices) == MAX_DEVICES

    @pytest.mark.needs("cantools")
    def test_the_last_reading_of_each_instance_is_kept(self, decoder):
        activity = Activity(decoder)
        frames = [Frame(NOW, "can0", 0x19FFFD44, bytes([instance]) + BATTERY[1:]) for instance in (1, 2, 1)]
        list(activity.observe([*frames, dm_rv(0)]))
        readings = activity.describe().readings
        assert [(one.message, one.instance, one.values["DcVoltage"]) for one in readings] == [
            ("DC_SOURCE_STATUS_1", 1, pytest.approx(11.85)),
            ("DC_SOURCE_STATUS_1", 2, pytest.approx(11.85)),
        ]

    def test_it_is_described_while_another_thread_observes(self):
        activity = Activity()
        frames = (dm_rv(0, number % 256, f"can{number % 2000}") for number in range(60_000))
        thread = threading.Thread(target=lambda: list(activity.observe(frames)))
        thread.start()
        while thread.is_alive():
            activity.describe()
        assert sum(bus.frames for bus in activity.describe().buses) == 60_000


@pytest.mark.needs("rich")
class TestWatch:
    def test_everything_has_its_place(self):
        changes = [Change("begun", 1), fault("raised", 2)]
        items = [dm_rv(-3), dm_rv(0, 0x5E), BusEvent("lost", NOW, "/dev/serial/by-id/usb-ADAPTER")]
        shown = show(make_watch(items, changes, overflowed=3, malformed=1_000))
        for words in (
            "2023-11-14 22:13:20 UTC  3 frames, 0 changes waiting, 1,000 malformed, 3 changes dropped",
            "CRITICAL  can0  0x5E furnace  SPN 73 mechanical part not responding (SPN 73, FMI 7)",
            "warning   can0                battery: DcVoltage is 11.8 V",
            "connected",
            "LOST",
            "…-id/usb-ADAPTER",
            "0x44     can0  control panel",
            "0x5E     can0  furnace",
            "fault raised at device 0x5E",
        ):
            assert words in shown
        assert shown.index("CRITICAL") < shown.index("warning")
        assert "/dev/serial" not in shown
        assert "\x1b" not in shown

    @pytest.mark.needs("cantools")
    def test_signals_have_their_units_and_say_what_is_not_available(self, decoder):
        frames = [Frame(NOW, "can0", 0x19FFFD44, data) for data in (BATTERY, b"\x02" + b"\xff" * 7)]
        shown = show(make_watch(frames, decoder=decoder))
        assert "DC_SOURCE_STATUS_1 1  can0  0x44  DevicePriority 120, DcVoltage 11.85 V, DcCurrent" in shown
        assert "not available" in shown

    @pytest.mark.parametrize("end", ["cleared", "ended"])
    def test_what_has_ended_disappears_and_its_sentence_stays(self, end):
        shown = show(make_watch([dm_rv(0)], [fault("raised", 2), fault(end, 2)]))
        assert "not responding (SPN 73" not in shown
        assert end in shown

    def test_a_flood_that_is_over_disappears(self):
        flood = Change("flooded", values={"text": "5 faults were not announced"})
        assert "5 faults were not announced" in show(make_watch([dm_rv(0)], [flood])).split("Buses")[0]
        flood.is_over = True
        assert "5 faults were not announced" not in show(make_watch([dm_rv(0)], [flood])).split("Buses")[0]

    def test_a_fault_that_has_become_worse_keeps_its_begin(self):
        shown = show(make_watch([dm_rv(30)], [fault("raised", 1), fault("worsened", 2, at=NOW)]))
        assert "warning " not in shown
        assert [line.split()[-2:] for line in shown.splitlines() if "CRITICAL" in line] == [["2", "min"]]

    def test_severities_and_losses_have_colours(self):
        target = console(force_terminal=True, color_system="standard")
        shown = show(make_watch([dm_rv(0)], [fault("raised", 2), Change("begun", 1)], target, overflowed=3))
        assert "\x1b[1;37;41mCRITICAL" in shown
        assert "\x1b[33mwarning" in shown
        assert "\x1b[1;31m, 3 changes dropped" in shown

    def test_nothing_from_the_bus_is_markup_or_a_control_sequence(self):
        change = Change("begun", values={"rule": "[bold]x[/bold]", "text": "\x1b[2J"})
        shown = show(make_watch([dm_rv(0, bus="\x1b[31m")], [change]))
        assert "[bold]x[/bold]: ?[2J" in shown
        assert "\x1b" not in shown

    def test_nothing_yet(self):
        shown = show(make_watch())
        assert "no frames yet" in shown
        assert shown.count("none") == 4

    def test_the_tables_fit_into_the_terminal_and_name_what_is_missing(self):
        changes = [fault("raised", 1, spn) for spn in range(100)]
        shown = show(make_watch([dm_rv(0, number) for number in range(100)], changes), 40)
        lines = shown.splitlines()
        assert len(lines) <= 40
        assert sum("not responding (SPN" in line for line in lines) > 8
        assert sum("… " in line and "more" in line for line in lines) == 2
        assert [line.split("SPN ")[1][:2] for line in lines if "fault raised" in line] == ["95", "96", "97", "98", "99"]

    @pytest.mark.parametrize("height", [5, 24, 50])
    def test_each_table_has_at_least_one_row(self, height):
        rows = share_rows([50, 2, 50, 50], 5, height)
        assert min(rows) >= 1
        assert sum(rows) + 3 * 4 + 1 + 5 <= max(height, 22)

    def test_a_file_gets_snapshots_and_one_at_the_end(self, monkeypatch):
        monkeypatch.setattr(watching, "SNAPSHOT_SECONDS", 0.05)
        with make_watch([dm_rv(0)]) as watch:
            written = watch.console.file
            for _time in range(200):
                if written.getvalue().count("Faults and alerts") >= 2:
                    break
                watch._stopped.wait(0.05)
            before = written.getvalue().count("Faults and alerts")
            assert before >= 2
        assert written.getvalue().count("Faults and alerts") > before
        assert "\x1b" not in written.getvalue()

    def test_a_terminal_that_is_gone_ends_only_the_watch(self, monkeypatch, caplog):
        monkeypatch.setattr(watching, "SNAPSHOT_SECONDS", 0.01)
        watch = make_watch([dm_rv(0)])
        monkeypatch.setattr(watch.console, "print", lambda *_: (_ for _ in ()).throw(OSError("gone")))
        watch.__enter__()
        watch._thread.join(10)
        assert not watch._thread.is_alive()
        assert "cannot write to its terminal" in caplog.text
        watch.__exit__(None, None, None)

    @pytest.mark.needs("cantools")
    def test_a_command_opens_it_with_the_messages_of_its_rules(self):
        out = io.StringIO()
        battery = Databases().find("DC_SOURCE_STATUS_1")
        with open_watch(OutputWrapper(out), [battery], Tally()) as watch:
            list(watch.activity.observe([Frame(NOW, "can0", 0x19FFFD45, BATTERY)]))
        assert "DcVoltage 11.85 V" in out.getvalue()
        assert "battery monitor" in out.getvalue()

    def test_the_output_of_a_command_gets_no_additional_line_ends(self):
        out = io.StringIO()
        target = make_console(OutputWrapper(out))
        target.print("a", end="")
        target.print("b", end="")
        assert out.getvalue() == "ab"


@pytest.mark.parametrize(
    ("seconds", "words"), [(-1, "0 s"), (3.4, "3 s"), (119, "119 s"), (120, "2 min"), (7_300, "2 h"), (200_000, "2 d")]
)
def test_ages_have_one_unit(seconds, words):
    assert format_age(seconds) == words


PROGRAM = """
import sys, time
from rich.console import Console
from notifications.can.activity import Activity
from notifications.can.tally import Tally
from notifications.can.watch import Watch
with Watch(Console(), Activity(), Tally()):
    time.sleep(0.4)
    if "fail" in sys.argv:
        raise KeyboardInterrupt
"""


def run_in_terminal(*arguments: str, term: str = "xterm") -> bytes:
    """What a program writes to a terminal."""
    main, side = pty.openpty()
    environment = {**os.environ, "TERM": term}
    environment.pop("NO_COLOR", None)
    command = [sys.executable, "-c", PROGRAM, *arguments]
    subprocess.run(command, stdin=side, stdout=side, stderr=subprocess.DEVNULL, env=environment, check=False)
    os.close(side)
    written = b""
    try:
        while part := os.read(main, 10_000):
            written += part
    except OSError:
        pass  # Linux reports the end of a terminal as an error.
    os.close(main)
    return written


@pytest.mark.needs("rich")
@pytest.mark.parametrize("arguments", [(), ("fail",)])
def test_the_terminal_is_restored_also_after_an_interruption(arguments):
    written = run_in_terminal(*arguments)
    enter, leave, hide, unhide = b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?25l", b"\x1b[?25h"
    assert written.count(enter) == written.count(leave) == 1
    assert written.index(enter) < written.index(leave)
    assert written.rindex(hide) < written.rindex(unhide)
    # It was drawn, and the last state remains on the normal screen.
    assert written.index(b"Faults and alerts") < written.index(leave) < written.rindex(b"Faults and alerts")


@pytest.mark.needs("rich")
def test_a_terminal_without_cursor_gets_plain_text():
    written = run_in_terminal(term="dumb")
    assert b"Faults and alerts" in written
    assert b"\x1b" not in written


@pytest.mark.needs("rich", "cantools")
@pytest.mark.one_database
def test_the_picture_of_the_documentation_shows_what_the_watch_draws():
    # Versions of rich differ in how they write SVG, but not in the words.
    assert find_words(pictures.draw()) == find_words(pictures.PATH.read_text(encoding="utf-8"))


def find_words(picture: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", picture)
