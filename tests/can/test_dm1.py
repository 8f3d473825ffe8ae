"""DM1 of J1939: single frames, messages of several frames, and what only looks like one."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications.can import dm1, transport
from notifications.can.bridge import Bridge
from notifications.can.fault_tracker import FaultTracker
from notifications.can.frame import Frame
from notifications.can.tally import Tally
from notifications.can.transport import Transport
from tests.can.candump import START, frame

ENGINE = 0x00
DM1 = 0x18FECA00
# Amber lamp; SPN 100 FMI 1 twice, and SPN 520192, whose highest bits are in the third byte, FMI 31.
TWO = bytes.fromhex("04FF 64000102 00F0FF7F".replace(" ", ""))


def send(data: bytes, after=0.0, source=ENGINE, receiver=0xFF, dgn=dm1.DGN, pause=0.05):
    """Return the frames of a broadcast or, to one receiver, of a transfer."""
    packets = -(-len(data) // 7)
    kind = transport.BROADCAST if receiver == 0xFF else transport.RTS
    control = bytes([kind, *len(data).to_bytes(2, "little"), packets, 0xFF, *dgn.to_bytes(3, "little")])
    parts = [control, *(bytes([1 + i]) + data[7 * i : 7 * i + 7].ljust(7, b"\xff") for i in range(packets))]
    groups = [transport.CONTROL] + [transport.DATA] * packets
    return [
        Frame(START + after + pause * i, "can0", 7 << 26 | group << 8 | receiver << 8 | source, part)
        for i, (group, part) in enumerate(zip(groups, parts, strict=True))
    ]


def process(*frames, tally=None):
    return list(Bridge(FaultTracker(tally or Tally())).process(frames))


def found(*frames):
    return [(change.kind, change.spn) for change in process(*frames)]


def test_a_message_of_several_frames_raises_all_its_faults():
    raised = process(*send(TWO))
    assert [(one.spn, one.fmi, one.lamps, one.count) for one in raised] == [
        (100, 1, ("yellow",), 2),
        (520192, 31, ("yellow",), None),
    ]
    assert "condition exists (FMI 31)" in str(raised[1])


def test_a_fault_that_is_no_longer_in_the_message_has_ended():
    assert found(*send(TWO), *send(TWO[:6] + bytes.fromhex("65000101"), 1)) == [
        ("raised", 100),
        ("raised", 520192),
        ("raised", 101),
        ("cleared", 520192),
    ]


def test_a_healthy_message_ends_all_faults():
    assert found(*send(TWO), frame("00FF00000000FFFF", 1, DM1))[2:] == [("cleared", 100), ("cleared", 520192)]


@pytest.mark.parametrize(
    "payload", ["00FF00000000FFFF", "00FFFFFFFFFFFFFF", "FFFFFFFFFFFFFFFF", "40FF0000", "00FF00000100FFFF"]
)
def test_a_message_without_a_fault_raises_nothing(payload):
    assert found(frame(payload, arbitration_id=DM1)) == []


def test_several_senders_can_interleave_their_packets():
    first, second = send(TWO), send(TWO, 0.01, source=3)
    mixed = sorted([*first, *second], key=lambda one: one.timestamp)
    assert [(one.source_address, one.spn) for one in process(*mixed)] == [(0, 100), (0, 520192), (3, 100), (3, 520192)]


def test_a_transfer_to_one_device_is_read_too():
    assert found(*send(TWO, receiver=0xF9)) == [("raised", 100), ("raised", 520192)]


def test_packets_that_are_sent_again_change_nothing():
    control, *packets = send(TWO, receiver=0xF9)
    assert found(control, packets[0], packets[0], packets[1]) == [("raised", 100), ("raised", 520192)]


@pytest.mark.parametrize(
    "choose",
    [
        lambda parts: [parts[0], parts[2]],
        lambda parts: parts[1:],
        lambda parts: [parts[0], parts[1], *send(TWO, 0.5)[:1]],
    ],
    ids=["a missing packet", "a missing beginning", "a new beginning"],
)
def test_an_incomplete_message_is_no_message(choose):
    assert found(*choose(send(TWO))) == []


def test_a_message_that_pauses_for_too_long_is_no_message():
    tally = Tally()
    assert process(*send(TWO, pause=1.3), tally=tally) == []
    assert tally.broken == 1
    assert "1 messages of several frames incomplete" in str(tally)


def test_a_receiver_that_is_busy_can_hold_a_transfer():
    begin, first, second, *_rest = send(TWO, receiver=0xF9)
    hold = [frame("1100FFFFFFCAFE00", after, 0x1CEC00F9) for after in (0.5, 1.0, 1.5, 2.0)]
    second = replace(second, timestamp=START + 2.5)
    assert len(found(begin, first, *hold, second)) == 2


def test_a_report_of_one_protocol_does_not_end_faults_of_the_other():
    fault = "154400106102FFFF"
    healthy_dm1, healthy_rvc = "00FF00000000FFFF", "0544FFFFFFFFFFFF"
    heard = [
        item
        for after in range(0, 60, 2)
        for item in (frame(fault, after, 0x19FECA44), frame(healthy_dm1, after + 1, 0x18FECA44))
    ]
    assert [change.kind for change in process(*heard)] == ["raised"]
    engine = [frame("04FF5B000301FFFF", after, 0x18FECA44) for after in range(0, 60, 2)]
    both = [item for one in engine for item in (frame(healthy_rvc, one.timestamp - START, 0x19FECA44), one)]
    assert [change.kind for change in process(*both)] == ["raised"]


def test_an_abort_ends_a_transfer():
    control, *packets = send(TWO, receiver=0xF9)
    abort = Frame(START + 0.01, "can0", 0x1CEC00F9, bytes([255, 1, 255, 255, 255, 0xCA, 0xFE, 0]))
    assert found(control, abort, *packets) == []


@pytest.mark.parametrize(
    "control", ["20FFFF02FFCAFE00", "200A0003FFCAFE00", "20050001FFCAFE00", "100A0002FFCAFE00", "20"]
)
def test_a_beginning_that_contradicts_itself_is_counted(control):
    [_first, *packets] = send(TWO)
    tally = Tally()
    assert process(frame(control, arbitration_id=0x1CECFF00), *packets, tally=tally) == []
    assert tally.broken


def test_memory_is_bounded():
    moving = Transport()
    beginning = send(TWO, receiver=1)[0].data
    for sender in range(256):
        for receiver in range(255):
            moving.add(Frame(START, "can0", transport.CONTROL << 8 | receiver << 8 | sender, beginning))
    assert len(moving._transfers) <= transport.MAX_TRANSFERS


RVC_STATUS = 0x19FFD4E1


def test_an_rv_c_device_that_repeats_its_dm_rv_as_dm1_has_one_fault():
    payload = "154500106102FFFF"
    frames = [frame("01" * 8, 0, RVC_STATUS), frame(payload, 0.1, 0x18FECAE1), frame(payload, 0.2, 0x19FECAE1)]
    assert found(*frames, frame(payload, 0.3, 0x18FECAE1)) == [("raised", 131)]


def test_a_copy_that_is_heard_before_the_device_is_known_raises_nothing():
    payload = "154500106102FFFF"
    copies = [frame(payload, after, 0x18FECAE1) for after in range(5)]
    assert found(*copies, *(frame(payload, 5 + after, 0x19FECAE1) for after in range(5))) == [("raised", 131)]


def test_a_device_that_does_not_speak_rv_c_can_flash_its_lamps():
    flashing = "10CF5B000301FFFF"
    assert found(frame(flashing, 0, 0x18FECAE1)) == [("raised", 91)]
    [raised] = process(*(frame(flashing, after, 0x18FECAE1) for after in range(9)))
    assert raised.at.timestamp() == START + 6


def test_an_rv_c_device_can_send_a_dm1_of_its_own():
    assert found(frame("01" * 8, 0, RVC_STATUS), frame("10FF5B000301FFFF", 1, 0x18FECAE1)) == [("raised", 91)]


IDS = st.sampled_from([0x18FECA00, 0x1CECFF00, 0x1CEBFF00, 0x1CECF900, 0x1CEBF900, 0x18EEFF00, 0x19FECA00])


@given(st.lists(st.tuples(IDS, st.binary(max_size=8), st.floats(0, 0.5)), max_size=60))
def test_any_frames_are_read_or_counted(frames):
    tally, after = Tally(), 0.0
    bridge = Bridge(FaultTracker(tally))
    items = []
    for number, data, pause in frames:
        after += pause
        items.append(Frame(START + after, "can0", number, data))
    list(bridge.process(items))
    assert tally.frames == len(frames)
    assert tally.raised >= tally.cleared
