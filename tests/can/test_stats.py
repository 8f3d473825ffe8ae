import pytest

from notifications.can.frame import SilenceTick
from notifications.can.pending_changes import PendingChanges
from notifications.can.stats import MAX_ROWS, Stats
from notifications.can.tally import Tally
from tests.can.candump import START, frame
from tests.can.test_pending_changes import OneChange

BATTERY = 0x19FFFD44
FULL = "0102030405060708"


def run(items, waiting=(), **options):
    lines, pending = [], PendingChanges(Tally())
    for change in waiting:
        pending.add(change)
    stats = Stats(lines.append, pending, **options)
    assert list(stats.count(items)) == list(items)
    return stats, lines


def test_a_busy_bus_has_the_load_of_its_frames():
    # As recorded: a bus of 250 kbit/s carries at most about 1,750 such frames a second.
    frames = [frame(FULL, number / 1750, BATTERY) for number in range(3501)]
    _stats, lines = run(frames, every=1.0)
    assert lines[0] == "can0: 1750 frames/s, load 99%, 0 changes waiting, 0 dropped"
    assert len(lines) == 2


def test_a_silent_bus_is_written_too():
    _stats, lines = run(
        [SilenceTick(START + number) for number in range(4)], waiting=[OneChange("a", 0), OneChange("b", 0)], every=2.0
    )
    assert lines == ["bus: 0 frames/s, load 0%, 2 changes waiting, 0 dropped"]


def test_after_a_step_of_the_clock_a_new_interval_begins():
    frames = [frame(FULL, after, BATTERY) for after in (0.0, 0.5, -5000.0, -4999.5, 90_000.0, 90_000.5, 90_001.1)]
    _stats, lines = run(frames, every=1.0)
    assert lines == ["can0: 2 frames/s, load 0%, 0 changes waiting, 0 dropped"]


def test_the_table_has_a_row_for_each_device_and_group():
    frames = (
        [frame(FULL, 0, BATTERY)] * 3 + [frame(FULL, 0, BATTERY | 4 << 26)] + [frame("00", 0, 0x7E8, is_extended=False)]
    )
    stats, _lines = run(frames)
    assert [line.split() for line in stats.list_rows()] == [
        ["bus", "DGN", "from", "frames"],
        ["can0", "1FFFD", "44", "4"],
        ["can0", "7E8", "-", "1"],
    ]


@pytest.mark.parametrize("count", [41, MAX_ROWS + 10])
def test_the_table_is_bounded_and_counts_the_rest(count):
    stats, _lines = run([frame("", 0, number << 8) for number in range(count)])
    *rows, rest = list(stats.list_rows())[1:]
    assert len(rows) == 40
    assert rest.split() == ["others", str(count - 40)]
    assert len(stats.frames) <= MAX_ROWS
