import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications.can.bridge import Bridge
from notifications.can.changes import Change
from notifications.can.fault_tracker import FaultTracker
from notifications.can.faults import Device, Fault, FaultChange, FaultKey, StandingFault
from notifications.can.frame import BusEvent, Frame, SilenceTick
from notifications.can.tally import Tally
from tests.can.candump import START, frame

YELLOW = "154500106102FFFF"
RED = "454501032001FFFF"
NONE = "0545FFFFFFFFFFFF"
OTHER_DGN = 0x19FFFD44


def process_frames(*heard: Frame | SilenceTick, **options) -> list[FaultChange]:
    return list(Bridge(FaultTracker(Tally(), **options)).process(heard))


def kinds(*heard: Frame | SilenceTick, **options) -> list[tuple[str, int]]:
    return [(change.kind, change.spn) for change in process_frames(*heard, **options)]


def at(change: FaultChange) -> float:
    return change.at.timestamp() - START


def nothing(after: float) -> Frame:
    return frame("FFFFFFFFFFFFFFFF", after, OTHER_DGN)


def test_a_repeated_fault_is_raised_once():
    assert kinds(*(frame(YELLOW, after) for after in range(100))) == [("raised", 131)]


def test_another_fault_does_not_clear_a_fault():
    assert kinds(frame(YELLOW), frame(RED, 1), frame(YELLOW, 2), frame(RED, 3)) == [("raised", 131), ("raised", 9)]


def test_no_fault_clears_all_faults_of_the_device_in_the_order_raised():
    changes = kinds(frame(YELLOW), frame(RED, 1), frame(YELLOW, 2), frame(NONE, 3))
    assert changes[2:] == [("cleared", 131), ("cleared", 9)]


@pytest.mark.parametrize(
    "elsewhere",
    [
        frame(NONE, 1, bus="can1"),
        frame(NONE, 1, arbitration_id=0x19FECA45),
        frame("0546FFFFFFFFFFFF", 1),
    ],
    ids=["another bus", "another source", "another device"],
)
def test_no_fault_of_another_device_clears_nothing(elsewhere):
    assert kinds(frame(YELLOW), elsewhere) == [("raised", 131)]


def test_a_cleared_fault_has_the_last_lamps_and_count():
    *_, cleared = process_frames(frame(YELLOW), frame("454500106109FFFF", 1), frame(NONE, 2))
    assert (cleared.kind, cleared.lamps, cleared.count, at(cleared)) == ("cleared", ("red",), 9, 2)


def test_a_fault_can_be_raised_again_after_it_was_cleared():
    changes = process_frames(frame(YELLOW), frame(NONE, 1), nothing(12), frame(YELLOW, 13))
    assert [(change.kind, at(change)) for change in changes] == [("raised", 0), ("cleared", 1), ("raised", 13)]


def test_a_fault_that_gets_a_worse_lamp_is_announced_once():
    lamps = ["yellow", "red", "yellow", "red", "yellow"]
    sent = {"yellow": YELLOW, "red": "454500106102FFFF"}
    changes = process_frames(*(frame(sent[lamp], after) for after, lamp in enumerate(lamps)))
    assert [(change.kind, change.lamps) for change in changes] == [("raised", ("yellow",)), ("worsened", ("red",))]


def flap(seconds: float, period: float, begin: float = 0) -> list[Frame]:
    """A fault that ends and comes back within each period."""
    number = round(seconds / period)
    return [
        frame(payload, begin + round(index * period + offset, 3))
        for index in range(number)
        for payload, offset in ((YELLOW, 0), (NONE, period / 2))
    ]


def test_a_fault_that_comes_and_goes_is_raised_once_and_cleared_once():
    changes = process_frames(*flap(60, 0.1), nothing(90))
    assert [(change.kind, change.flaps) for change in changes] == [("raised", 0), ("flapping", 3), ("cleared", 599)]
    assert at(changes[-1]) == pytest.approx(59.95)


def test_flapping_is_announced_every_five_minutes():
    changes = process_frames(*flap(900, 1), nothing(2000))
    assert [(change.kind, change.flaps) for change in changes[1:-1]] == [
        ("flapping", 3),
        ("flapping", 303),
        ("flapping", 603),
    ]


def test_a_fault_that_soon_comes_back_must_stay_away_for_longer():
    found = [change.kind for change in process_frames(*flap(3600, 24), nothing(5000))]
    # Away for 12 seconds at a time: cleared after 10 the first time, then not after 20.
    assert found[:3] == ["raised", "cleared", "raised"]
    assert found.count("cleared") == 2


def test_memory_does_not_grow_while_a_fault_flaps():
    tracker = FaultTracker(Tally())
    for _change in Bridge(tracker).process(flap(600, 0.1)):
        pass
    assert len(tracker._deadlines) < 100


def test_faults_that_stand_at_the_end_are_listed():
    tracker = FaultTracker(Tally())
    list(Bridge(tracker).process([frame(YELLOW), frame(RED, 1), nothing(12)]))
    assert [change.spn for change in tracker.list_standing()] == [131, 9]


NAME = "0102030405060780"
CLAIM_44, CLAIM_50 = 0x18EEFF44, 0x18EEFF50


def test_a_device_that_changes_its_address_keeps_its_faults():
    moved = [frame(payload, after, 0x19FECA50) for payload, after in ((YELLOW, 3), (YELLOW, 4), (NONE, 5))]
    changes = process_frames(frame(NAME, 0, CLAIM_44), frame(YELLOW, 1), frame(NAME, 2, CLAIM_50), *moved)
    assert [(change.kind, change.source_address, change.correlation_id) for change in changes] == [
        ("raised", 0x44, "rvc:can0:68:69:-:131:1"),
        ("moved", 0x50, "rvc:can0:68:69:-:131:1"),
        ("cleared", 0x50, "rvc:can0:68:69:-:131:1"),
    ]


def test_another_device_with_the_address_has_faults_of_its_own():
    changes = process_frames(
        frame(NAME, 0, CLAIM_44), frame(YELLOW, 1), frame("FF" * 7 + "80", 2, CLAIM_50), frame(YELLOW, 3, 0x19FECA50)
    )
    assert [change.kind for change in changes] == ["raised", "raised"]


def test_an_rv_c_device_at_its_default_address_keeps_its_faults_when_it_moves():
    at_default = frame("154400106102FFFF", 1)
    moved = [frame("154400106102FFFF", after, 0x19FECA50) for after in (3, 4)]
    changes = process_frames(frame(NAME, 0, CLAIM_44), at_default, frame(NAME, 2, CLAIM_50), *moved)
    assert [(one.kind, one.source_address, one.dsa) for one in changes] == [
        ("raised", 0x44, 0x44),
        ("moved", 0x50, 0x44),
    ]


def test_a_device_that_gives_way_does_not_take_the_faults_of_the_other_with_it():
    other = "0807060504030201"
    first, second = "154400106102FFFF", "155000106102FFFF"
    claims = [frame(NAME, 0, CLAIM_44), frame(other, 0, CLAIM_50)]
    before = [frame(first, 1), frame(second, 1, 0x19FECA50)]
    contention = [frame(NAME, 2, CLAIM_50), frame(other, 2.1, 0x18EEFF51)]
    after = [frame(first, 3, 0x19FECA50), frame(second, 3, 0x19FECA51)]
    changes = process_frames(*claims, *before, *contention, *after)
    assert [(one.kind, one.source_address, one.dsa) for one in changes] == [
        ("raised", 0x44, 0x44),
        ("raised", 0x50, 0x50),
        ("moved", 0x50, 0x44),
        ("moved", 0x51, 0x50),
    ]


@pytest.mark.parametrize("claim", [frame(NAME, 2, 0x18EEFFFE), frame("0102", 2, CLAIM_50)], ids=["none", "short"])
def test_a_device_without_an_address_moves_nothing(claim):
    assert kinds(frame(NAME, 0, CLAIM_44), frame(YELLOW, 1), claim, frame(YELLOW, 3)) == [("raised", 131)]


def test_silence_clears_a_fault_at_the_time_of_the_limit():
    _raised, cleared = process_frames(frame(YELLOW), frame(YELLOW, 4), nothing(60))
    assert (cleared.kind, at(cleared)) == ("cleared", 19)


def test_silence_of_exactly_the_limit_clears_and_a_little_less_does_not():
    assert len(process_frames(frame(YELLOW), nothing(14.999999))) == 1
    assert len(process_frames(frame(YELLOW), nothing(15))) == 2


def test_a_repeat_after_the_limit_is_a_new_fault():
    assert [kind for kind, _spn in kinds(frame(YELLOW), frame(YELLOW, 15))] == ["raised", "cleared", "raised"]


def test_time_advances_on_a_silent_bus():
    assert [kind for kind, _spn in kinds(frame(YELLOW), SilenceTick(START + 16))] == ["raised", "cleared"]


def test_the_limit_of_silence_can_be_increased():
    assert len(process_frames(frame(YELLOW), nothing(59), clear_after=60)) == 1
    assert len(process_frames(frame(YELLOW), nothing(60), clear_after=60)) == 2


def test_silence_restarts_if_the_clock_is_set_back():
    changes = process_frames(frame(YELLOW), frame(RED, -1000), nothing(-990), nothing(-980))
    assert [(change.kind, at(change)) for change in changes] == [
        ("raised", 0),
        ("raised", -1000),
        ("cleared", -985),
        ("cleared", -985),
    ]


def test_slightly_disordered_frames_do_not_set_the_clock_back():
    changes = process_frames(frame(YELLOW), nothing(14.9), frame(YELLOW, 14.5), nothing(20), nothing(29.8))
    assert [change.kind for change in changes] == ["raised"]


@pytest.mark.parametrize("flag", ["is_error", "is_remote"])
def test_error_and_remote_frames_raise_no_fault(flag):
    assert process_frames(frame(YELLOW, **{flag: True})) == []


def test_standard_frames_raise_no_fault():
    assert process_frames(frame(YELLOW, is_extended=False)) == []


def test_zeros_neither_raise_nor_clear():
    assert kinds(frame(YELLOW), frame("0000000000000000", 1), frame("0045000000000000", 2)) == [("raised", 131)]


def test_a_j1939_dm1_is_not_read_as_dm_rv():
    [raised] = process_frames(frame("40FF5B000301FFFF", arbitration_id=0x18FECA00))
    assert (raised.protocol, raised.spn, raised.fmi, raised.lamps) == ("j1939", 91, 3, ("malfunction",))


@pytest.mark.parametrize("timestamp", [float("nan"), float("inf"), -1.0, 1e15])
def test_a_frame_with_an_invalid_timestamp_is_malformed(timestamp):
    tally = Tally()
    undated = Frame(timestamp, "can0", 0x19FECA44, bytes.fromhex(RED))
    changes = list(Bridge(FaultTracker(tally)).process([frame(YELLOW), undated]))
    assert len(changes) == 1
    assert tally.malformed == 1


def babble(source: int, count: int) -> list[Frame]:
    """As many different faults of one source address, at one moment."""
    data = (bytes([0x15, 1, 0, number >> 8 & 0xFF, 0, 1, 0, 0]) for number in range(0, count << 8, 256))
    return [Frame(START, "can0", 0x19FECA00 | source, item) for item in data]


def test_a_faulty_device_does_not_use_up_all_open_faults():
    tally = Tally()
    changes = list(Bridge(FaultTracker(tally, max_open_faults=20)).process([*babble(1, 100), frame(RED)]))
    assert [change.source_address for change in changes] == [1] * 10 + [0x44]
    assert (tally.raised, tally.dropped) == (11, 90)


def test_open_faults_are_limited_and_clearing_makes_room():
    tally = Tally()
    life = FaultTracker(tally, max_open_faults=20)
    flood = [item for source in range(4) for item in babble(source, 10)]
    list(Bridge(life).process(flood))
    assert (len(life), tally.dropped) == (20, 20)
    changes = list(Bridge(life).process([nothing(15), frame(RED, 15)]))
    assert [change.kind for change in changes] == ["cleared"] * 20 + ["raised"]


FRAMES = st.builds(
    Frame,
    timestamp=st.one_of(st.floats(), st.floats(START, START + 100)),
    bus=st.sampled_from(["can0", "can1", ""]),
    arbitration_id=st.one_of(st.integers(0, 0x1FFFFFFF), st.sampled_from([0x19FECA44, 0x19FECA45, 0x18FECA44])),
    data=st.binary(max_size=64),
    is_extended=st.booleans(),
    is_error=st.booleans(),
    is_remote=st.booleans(),
)


@given(st.lists(FRAMES, max_size=50))
def test_no_frames_can_stop_the_bridge(heard):
    tally = Tally()
    life = FaultTracker(tally)
    changes = list(Bridge(life).process(heard))
    assert tally.frames == len(heard)
    assert tally.raised - tally.cleared == len(life)
    for change in changes:
        assert "fault" in str(change)
        assert change.as_json().count("\n") == 0


STEPS = st.lists(
    st.tuples(st.integers(0, 20), st.sampled_from([YELLOW, RED, NONE, "2546FF"]), st.sampled_from(["can0", "can1"])),
    max_size=60,
)


@given(STEPS)
def test_raised_and_cleared_alternate_for_every_fault(steps):
    after, heard = 0, []
    for wait, data, bus in steps:
        after += wait
        heard.append(frame(data, after, bus=bus))
    last: dict[str, FaultChange] = {}
    for change in process_frames(*heard):
        before = last.get(change.correlation_id)
        assert change.kind == ("cleared" if before is not None and before.kind == "raised" else "raised")
        assert before is None or before.at <= change.at
        last[change.correlation_id] = change


def test_a_change_is_formatted_as_a_sentence_and_as_json():
    [change] = process_frames(frame(RED))
    assert str(change) == (
        "2023-11-14 22:13:20 UTC can0: fault raised at device 0x45 instance 3: SPN 9 above the normal range (FMI 0), "
        "red lamp, count 1, reported by 0x44."
    )
    assert change.at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert change.as_json() == (
        '{"kind": "raised", "protocol": "rvc", "bus": "can0", "source_address": 68, "dsa": 69, "instance": 3, '
        '"spn": 9, "fmi": 0, "lamps": ["red"], "count": 1, "at": "2023-11-14T22:13:20+00:00"}'
    )


def test_a_long_name_of_a_bus_makes_no_long_correlation_id():
    [change] = process_frames(frame(RED, bus="/dev/" + "x" * 200))
    assert len(change.correlation_id) < 100


def test_a_change_of_a_fault_is_a_change():
    [change] = process_frames(frame(RED))
    common: Change = change
    assert (common.kind, common.bus, common.severity) == ("raised", "can0", 2)
    assert common.key == ("fault", "rvc:can0:68:69:3:9:0")
    assert change.identity == FaultKey(Device("can0", 0x44, 0x45), 3, 9, 0)
    assert common.as_dict()["kind"] == "raised"


def test_nothing_is_cleared_by_silence_while_a_bus_is_lost():
    tracker = FaultTracker(Tally())
    running = Bridge(tracker)
    [raised, other] = list(running.process([frame(YELLOW), frame(RED, bus="can1")]))
    tracker.pause("can0")
    assert [change.bus for change in tracker.advance_to(START + 100)] == ["can1"]
    tracker.resume("can0", START + 200)
    # The fault stands, so it is not raised again, and the time of silence begins anew.
    assert list(running.process([frame(YELLOW, 201), nothing(215.9)])) == []
    [cleared] = tracker.advance_to(START + 216)
    assert (cleared.kind, cleared.bus, at(cleared)) == ("cleared", "can0", 216)
    assert (raised.bus, other.bus) == ("can0", "can1")


def test_a_fault_that_ended_before_the_bus_was_lost_is_cleared_after_it_is_back():
    tracker = FaultTracker(Tally())
    running = Bridge(tracker)
    for item in (frame(YELLOW), frame(NONE, 1)):
        running._process_frame(item)
    tracker.pause("can0")
    assert tracker.advance_to(START + 100) == []
    tracker.resume("can0", START + 100)
    assert tracker.advance_to(START + 109) == []
    [cleared] = tracker.advance_to(START + 110)
    assert (cleared.kind, at(cleared)) == ("cleared", 1)


def test_a_restored_fault_is_not_raised_again_and_is_cleared():
    tracker = FaultTracker(Tally())
    [raised] = process_frames(frame(YELLOW))
    tracker.restore([StandingFault("rvc", raised.identity.device, Fault(None, 131, 1, (), 1), 2, 5, "own-id")])
    changes = list(Bridge(tracker).process([frame(YELLOW, 900), frame(NONE, 901), nothing(920)]))
    assert [(change.kind, change.correlation_id, change.flaps) for change in changes] == [("cleared", "own-id", 5)]


def test_a_fault_that_was_cleared_before_the_state_was_read_is_not_restored():
    tracker = FaultTracker(Tally())
    running = Bridge(tracker)
    [raised, _cleared] = list(running.process([frame(YELLOW), frame(NONE, 1), nothing(12)]))
    tracker.restore([StandingFault("rvc", raised.identity.device, Fault(None, 131, 1, (), 1), 1, 0, "own-id")])
    [again] = list(running.process([nothing(13), frame(YELLOW, 14)]))
    assert (again.kind, again.correlation_id) == ("raised", raised.correlation_id)


def test_another_device_with_the_address_and_the_fault_of_one_that_moved_has_another_id():
    heard = [frame(NAME, 0, CLAIM_44), frame(YELLOW, 1), frame(NAME, 2, CLAIM_50), frame(YELLOW, 3)]
    changes = process_frames(*heard, frame(NONE, 4))
    assert [(change.kind, change.source_address, change.correlation_id) for change in changes] == [
        ("raised", 0x44, "rvc:can0:68:69:-:131:1"),
        ("moved", 0x50, "rvc:can0:68:69:-:131:1"),
        ("raised", 0x44, "rvc:can0:68:69:-:131:1:2"),
        ("cleared", 0x44, "rvc:can0:68:69:-:131:1:2"),
    ]
    assert json.loads(changes[1].as_json())["correlation_id"] == "rvc:can0:68:69:-:131:1"


def test_a_clock_that_is_set_forward_neither_clears_nor_repeats_a_fault():
    later = 86_400.0
    before = [frame(YELLOW, after) for after in range(5)]
    after = [frame(YELLOW, later + after) for after in range(20)]
    assert kinds(*before, BusEvent("set", START + later, "can0"), *after) == [("raised", 131)]
    silent = [SilenceTick(START + later + after) for after in range(20)]
    assert kinds(*before, BusEvent("set", START + later, "can0"), *silent) == [("raised", 131), ("cleared", 131)]
