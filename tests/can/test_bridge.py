"""The bridge gives frames to the trackers of faults and alerts."""

import pytest

from notifications.can.conditions import Condition, Selection
from notifications.can.databases import Databases
from notifications.can.fault_tracker import FaultTracker
from notifications.can.frame import BusEvent, Frame, SilenceTick
from notifications.can.rule_types import (
    BusSilenceRule,
    CompoundRule,
    DeviceSilenceRule,
    Rule,
    SignalRule,
    find_messages,
)
from notifications.can.rules import RuleSet
from notifications.can.tally import Tally
from tests.can.candump import START, frame, parse
from tests.can.test_signals import HOST_DBC

pytestmark = pytest.mark.needs("can", "cantools")

LONG_IN_PARTS = [
    (0, 0x1CECFF31, "200C0002FFE5FE00"),
    (0.1, 0x1CEBFF31, "0101020304050607"),
    (0.2, 0x1CEBFF31, "0208091011C8FFFF"),
]
DEAD = BusSilenceRule(name="dead", begin_after=10)


def signal(message: str, field: str, sign: str, value: float) -> SignalRule:
    return SignalRule(name="signal", condition=Condition(Selection(message), field, sign, value))


@pytest.fixture
def process(tmp_path):
    (tmp_path / "host.dbc").write_text(HOST_DBC)
    databases = Databases()
    databases.add(tmp_path / "host.dbc")

    def run(items, *rules: Rule):
        names = dict.fromkeys(name for rule in rules for name in find_messages(rule))
        messages = [databases.messages[name] for name in names]
        process.bridge = RuleSet(rules, (), tuple(messages)).make_bridge(FaultTracker(Tally()))
        return [(change.kind, getattr(change, "rule", "")) for change in process.bridge.process(items)]

    process = run
    return run


def test_values_in_messages_of_several_frames(process):
    frames = [frame(data, after, number) for after, number, data in LONG_IN_PARTS]
    assert process(frames, signal("ENGINE_HOURS", "Last", ">", 100)) == [("begun", "signal")]


def test_values_in_standard_frames(process):
    frames = [parse("(1700000000.0) can0 064#00FFFF0000000000")]
    assert process(frames, signal("BMS", "Cell", ">", 60)) == [("begun", "signal")]
    assert process.bridge.tally.ignored == 0


def test_frames_of_errors_and_remote_frames_are_ignored(process):
    frames = [frame("0178DC0000943577", 0, 0x19FFFD80, **flag) for flag in ({"is_error": True}, {"is_remote": True})]
    assert process(frames, signal("DC_SOURCE_STATUS_1", "DcVoltage", "<", 12)) == []
    assert process.bridge.tally.ignored == 2


def test_a_frame_with_an_invalid_time_is_malformed(process):
    frames = [Frame(time, "can0", 0x19FFFD80, b"") for time in (-1.0, float("nan"), 1e12)]
    assert process(frames, DEAD) == []
    assert process.bridge.tally.malformed == 3


def test_a_bus_that_is_lost_and_back(process):
    items = [
        frame("FF", 0),
        BusEvent("lost", START + 1, "can0", "gone"),
        SilenceTick(START + 9),
        SilenceTick(START + 20),
        BusEvent("back", START + 30, "can0"),
        SilenceTick(START + 31),
        frame("FF", 32),
    ]
    assert process(items, DEAD) == [("begun", "dead"), ("ended", "dead")]


def test_an_alert_goes_with_a_device_that_claims_another_address(process):
    claim = "0102030405060708"
    frames = [
        frame(claim, 0, 0x18EEFF80),
        frame("0178DC0000943577", 1, 0x19FFFD80),
        frame(claim, 2, 0x18EEFF81),
        frame("0178DC0000943577", 3, 0x19FFFD81),
    ]
    assert process(frames, signal("DC_SOURCE_STATUS_1", "DcVoltage", "<", 12)) == [("begun", "signal")]
    [standing] = process.bridge.list_standing()
    assert standing.source_address == 0x80


def test_faults_and_alerts_together(process):
    frames = [frame("450001032001FFFF", 0, 0x19FECA40), frame("0178DC0000943577", 1, 0x19FFFD80)]
    rules = (signal("DC_SOURCE_STATUS_1", "DcVoltage", "<", 12), DeviceSilenceRule(name="gone", begin_after=30))
    assert process(frames, *rules) == [("raised", ""), ("begun", "signal")]
    assert len(list(process.bridge.list_standing())) == 2


def test_a_message_for_two_rules_is_decoded_once(process):
    condition = Condition(Selection("DC_SOURCE_STATUS_1"), "DcVoltage", "<", 12)
    rules = (
        signal("DC_SOURCE_STATUS_1", "DcVoltage", "<", 12),
        CompoundRule(name="c", conditions=(condition,), needs_all=True),
    )
    assert process([frame("0178DC0000943577", 1, 0x19FFFD80)], *rules) == [("begun", "signal"), ("begun", "c")]
