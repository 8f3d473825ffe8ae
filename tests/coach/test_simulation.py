"""Each script gives what it says: read by the bridge, without a bus."""

from collections import Counter
from itertools import islice, pairwise

import pytest

from example_project.coach import messages as rvc
from example_project.coach.messages import SimulatedFrame, make_dm1
from example_project.coach.simulation import BABBLER, LIGHTS, SCRIPTS, fill, make_damage, make_healthy
from notifications.can.bridge import Bridge
from notifications.can.fault_tracker import FaultTracker
from notifications.can.flood import MAX_PER_SOURCE
from notifications.can.frame import Frame
from notifications.can.recordings import read_frames
from notifications.can.tally import Tally

START = 1_700_000_000.0
MINUTES = 5


def run(frames) -> tuple[Tally, list]:
    tally = Tally()
    seen = (Frame(START + one.after, "can0", one.arbitration_id, one.data) for one in frames)
    return tally, list(Bridge(FaultTracker(tally)).process(seen))


def play(name: str, minutes: float = MINUTES):
    return run(SCRIPTS[name](minutes * 60, 1))


def of_fault(changes, spn):
    return [(change.kind, change.lamps) for change in changes if change.spn == spn]


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_frames_of_a_script_are_in_order_and_depend_only_on_the_seed(name):
    first, again, other = (list(islice(SCRIPTS[name](60, seed), 2000)) for seed in (1, 1, 2))
    assert all(earlier.after <= later.after < 60 for earlier, later in pairwise(first))
    assert first == again != other


@pytest.mark.parametrize("name", ["healthy", "battery-night", "gas-leak", "tanks"])
def test_a_script_without_diagnosed_faults_raises_none(name):
    tally, changes = play(name)
    assert (changes, tally.malformed, tally.broken) == ([], 0, 0)


@pytest.mark.one_database
def test_healthy_traffic_of_150_000_frames_raises_no_fault():
    tally, changes = run(fill(make_healthy(90, 5), 1750, 5))
    assert tally.frames > 150_000
    assert (changes, tally.malformed, tally.broken) == ([], 0, 0)


def test_a_lamp_worsens_a_contact_flaps_and_an_engine_has_two_faults_in_one_message():
    tally, changes = play("faults", minutes=10)
    assert of_fault(changes, 73) == [("raised", ("yellow",)), ("worsened", ("red",)), ("cleared", ("red",))]
    assert [kind for kind, _lamps in of_fault(changes, 18)] == ["raised", "flapping", "cleared"]
    engine = [(change.kind, change.spn, change.fmi, change.count) for change in changes if change.protocol == "j1939"]
    assert engine == [
        ("raised", 110, 0, 2),
        ("raised", 520_192, 31, 1),
        ("cleared", 110, 0, 2),
        ("cleared", 520_192, 31, 1),
    ]
    assert tally.broken == 0


def test_while_a_node_babbles_the_real_fault_is_raised_at_once():
    _tally, changes = play("flood", minutes=0.5)
    raised = [change for change in changes if change.kind == "raised"]
    [furnace] = [change for change in raised if change.source_address == rvc.FURNACE]
    assert furnace.at.timestamp() - START == pytest.approx(0.4 * 30, abs=0.2)
    assert Counter(change.source_address for change in raised) == {BABBLER: MAX_PER_SOURCE, rvc.FURNACE: 1}
    [summary] = [change for change in changes if change.kind == "flooded"]
    assert [address for address, _count in summary.sources] == [BABBLER]


def test_random_frames_break_nothing():
    tally, _changes = play("fuzz", minutes=0.2)
    assert tally.frames == 12 * 1750


def test_the_furnace_is_silent_for_a_while_and_then_the_whole_bus():
    by_source = Counter()
    times = []
    for frame in SCRIPTS["silence"](300, 1):
        times.append(frame.after)
        by_source[frame.arbitration_id & 0xFF, 60 < frame.after < 150] += 1
    assert by_source[rvc.FURNACE, False] > 10
    assert by_source[rvc.FURNACE, True] == 0 < by_source[rvc.PANEL, True]
    [(begins, ends)] = [(one, other) for one, other in pairwise(times) if other - one > 10]
    assert (begins, ends) == (pytest.approx(210, abs=1), pytest.approx(270, abs=1))


def test_a_bus_is_filled_up_to_the_rate_and_stays_silent_in_a_silence():
    filled = list(fill(SCRIPTS["silence"](100, 1), 200, 1))
    assert sum(frame.after < 70 for frame in filled) == pytest.approx(70 * 200, rel=0.02)
    assert [frame for frame in filled if 71 < frame.after < 89] == []
    assert {frame.arbitration_id & 0xFF for frame in filled} > set(LIGHTS)
    assert filled == sorted(filled, key=lambda frame: frame.after)


@pytest.mark.needs("can")
def test_damaged_lines_of_a_recording_are_counted_and_the_faults_are_still_raised(tmp_path):
    path = tmp_path / "coach.log"
    frames = list(make_damage(600, 1))
    path.write_bytes(b"".join(frame.as_candump(START, "can0") for frame in frames))
    tally = Tally()
    changes = list(Bridge(FaultTracker(tally)).process(read_frames(path, tally)))
    assert tally.malformed == sum(bool(frame.damage) for frame in frames) > 100
    assert {change.spn for change in changes} == {9, 73, 18, 110, 520_192}


@pytest.mark.parametrize(("damage", "slcan"), [("", b"T19FECA443010203\r"), ("cut", b"T19FECA4\r")])
def test_a_frame_is_written_in_each_protocol(damage, slcan):
    frame = SimulatedFrame(1.5, 0x19FECA44, b"\x01\x02\x03", damage)
    whole = b"(1700000001.500000) can0 19FECA44#010203\n", b"< frame 19FECA44 5.000000 010203 >"
    assert frame.as_slcan() == slcan
    if not damage:
        assert (frame.as_candump(START, "can0"), frame.as_socketcand(5.0)) == whole


def test_garbage_is_not_ascii_but_keeps_its_end():
    line = SimulatedFrame(1.5, 0x19FECA44, b"\x01", "binary").as_slcan()
    assert min(line[:-1]) >= 0x80
    assert line.endswith(b"\r")


@pytest.mark.parametrize(("faults", "frames"), [(0, 1), (1, 1), (2, 3), (5, 5)])
def test_dm1_with_more_than_one_fault_takes_several_frames(faults, frames):
    made = make_dm1(0.0, rvc.ENGINE, rvc.ENGINE_AMBER, [(100 + number, number, 1) for number in range(faults)])
    assert len(made) == frames
    _tally, changes = run(made)
    assert [(change.spn, change.fmi) for change in changes] == [(100 + number, number) for number in range(faults)]
