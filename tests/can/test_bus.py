"""The parts of a live bus: options, filters, lines of serial adapters and pauses between attempts."""

import json
import socket
import threading
import time
from contextlib import closing, suppress
from types import SimpleNamespace

import pytest

from notifications.can import bus_options
from notifications.can.bus import Backoff, BusListener, BusUnavailable, open_connection
from notifications.can.bus_options import BusMisconfigured, BusOptions, find_bus_options
from notifications.can.filters import MAX_FILTERS, make_filters
from notifications.can.frame import BusEvent, Frame
from notifications.can.slcan import SlcanReader
from notifications.can.tally import Tally
from notifications.core import extras
from tests.ports import find_free_port

pytestmark = pytest.mark.needs("can")


@pytest.fixture
def can_conf(tmp_path, monkeypatch):
    """The only file that python-can reads, and no variables of the environment."""
    can = extras.import_optional("can")
    path = tmp_path / "can.conf"
    monkeypatch.setattr(can.util, "CONFIG_FILES", [str(path)])
    for name in ("INTERFACE", "CHANNEL", "BITRATE", "CONFIG"):
        monkeypatch.delenv(f"CAN_{name}", raising=False)
    return path


def test_without_any_source_there_is_no_bus(can_conf):
    assert find_bus_options({}) is None


def test_arguments_come_before_the_setting_the_environment_and_can_conf(can_conf, monkeypatch, settings):
    can_conf.write_text("[default]\ninterface = socketcan\nchannel = can0\nbitrate = 125000\n[coach]\nchannel = can9\n")
    assert find_bus_options({}) == BusOptions("socketcan", "can0", {"bitrate": 125000})
    assert find_bus_options({}, "coach").channel == "can9"
    monkeypatch.setenv("CAN_CHANNEL", "can1")
    monkeypatch.setenv("CAN_CONFIG", json.dumps({"bitrate": 500000}))
    assert find_bus_options({}) == BusOptions("socketcan", "can1", {"bitrate": 500000})
    settings.NOTIFICATIONS = {"CAN_BUS": {"channel": "can2", "fd": False}}
    assert find_bus_options({}).channel == "can2"
    assert find_bus_options({"channel": "can3"}) == BusOptions("socketcan", "can3", {"bitrate": 500000, "fd": False})


def test_another_interface_replaces_the_setting(can_conf, settings):
    settings.NOTIFICATIONS = {
        "CAN_BUS": {"interface": "socketcand", "channel": "can2", "host": "127.0.0.1", "port": 29}
    }
    assert find_bus_options({"interface": "virtual"}) == BusOptions("virtual", None, {})
    assert find_bus_options({"interface": "socketcand", "port": "28"}).others == {"host": "127.0.0.1", "port": 28}


def test_adapters_listen_only_unless_an_option_says_otherwise(can_conf):
    can = extras.import_optional("can")
    assert find_bus_options({"interface": "slcan"}).others == {"listen_only": True}
    assert find_bus_options({"interface": "slcan", "listen_only": "False"}).others == {"listen_only": False}
    assert find_bus_options({"interface": "pcan"}).others == {"state": can.BusState.PASSIVE}
    assert set(bus_options.LISTEN_ONLY) <= set(can.VALID_INTERFACES)


@pytest.mark.parametrize(
    ("variable", "content", "words"),
    [
        ("{", "", "CAN_CONFIG is not valid JSON"),
        ("{}", "interface = socketcan", "no section headers"),
        ('{"interface": "nonsense"}', "", "nonsense"),
        ('{"interface": "socketcand", "port": 99999}', "", "0-65535 range"),
    ],
)
def test_wrong_options_are_errors_that_name_the_source(can_conf, monkeypatch, variable, content, words):
    can_conf.write_text(content)
    monkeypatch.setenv("CAN_CONFIG", variable)
    with pytest.raises(BusMisconfigured, match=words):
        find_bus_options({})


def test_a_section_that_no_source_has_is_an_error(can_conf, monkeypatch):
    can_conf.write_text("[default]\ninterface = socketcan\nchannel = can0\n[chassis]\nchannel = can1\n")
    assert find_bus_options({}, "chassis").channel == "can1"
    with pytest.raises(BusMisconfigured, match=r"section \[chasis\].* CAN_INTERFACE_chasis"):
        find_bus_options({}, "chasis")
    monkeypatch.setenv("CAN_CHANNEL_chasis", "can2")
    assert find_bus_options({}, "chasis").channel == "can2"


def test_filters_pass_what_the_bridge_reads():
    can = extras.import_optional("can")
    with can.Bus(
        interface="virtual", channel="klaxon-filters", can_filters=make_filters([0x1FFFD, 0x0FEEE, 0x0EA05])
    ) as bus:
        passing = {
            dgn: bus._matches_filters(can.Message(arbitration_id=18 << 24 | dgn << 8 | 0x44, is_extended_id=True))
            for dgn in (
                0x1FECA,
                0x1FFB7,
                0x0FECA,
                0x0ECFF,
                0x0EB44,
                0x0EEFF,
                0x0FEEE,
                0x0EA77,
                0x0F004,
                0x1F805,
                0x0FECB,
            )
        }
        assert not bus._matches_filters(can.Message(arbitration_id=0x44, is_extended_id=False))
    assert [dgn for dgn, passes in passing.items() if not passes] == [0x0F004, 0x1F805, 0x0FECB]


def test_too_many_filters_are_none():
    assert len(make_filters(range(0xFE00, 0xFE00 + MAX_FILTERS - 5))) == MAX_FILTERS
    assert make_filters(range(0xFE00, 0xFE00 + MAX_FILTERS)) is None


class Port:
    """A serial port that contains these bytes, and gives a few at a time."""

    def __init__(self, content: bytes, part: int) -> None:
        self.content, self.part = content, part

    @property
    def in_waiting(self) -> int:
        return min(self.part, len(self.content))

    def read(self, size: int) -> bytes:
        part, self.content = self.content[:size], self.content[size:]
        return part


GOOD = b"T19FECA448154500106102FFFF\r"


def read_lines(content: bytes, part: int = 7) -> tuple[list[str], Tally]:
    tally, port = Tally(), Port(content, part)
    reader = SlcanReader(port, "ttyACM0", tally)
    frames = []
    while port.content or reader._frames:
        frame = reader.receive()
        if frame is not None:
            frames.append(f"{frame.arbitration_id:X}#{frame.data.hex()}{'' if frame.is_extended else ' standard'}")
    return frames, tally


@pytest.mark.parametrize("part", [1, 7, 1000])
def test_lines_of_a_serial_adapter_are_read_in_parts_of_any_size(part):
    content = b"\rV1013\r\aN1A2B\r" + GOOD + b"t12320102\rt7FF0\r" + b"T1FFFFFFF0ABCD\r" + GOOD
    frames, tally = read_lines(content, part)
    one = "19FECA44#154500106102ffff"
    assert frames == [one, "123#0102 standard", "7FF# standard", "1FFFFFFF#", one]
    assert tally.malformed == 0


@pytest.mark.parametrize(
    ("damaged", "malformed"),
    [
        (b"T19FECA44815450010\xff102FFFF\r", 1),
        (b"T19FECA448154500106102\r", 1),
        (b"T19FECA4481545" + GOOD, 1),  # the damaged line takes the next one along
        (b"DFECA448154500106102FFFF\r", 1),
        (b"T39FECA448154500106102FFFF\r", 1),
        (b"t9232\r", 1),
        (bytes(range(128, 200)) + b"\r", 1),
        (b"x" * 5000 + b"\r", 1),
        (b"\x00\r", 1),
        (b"T19FECA449" + b"00" * 9 + b"\r", 1),
    ],
)
def test_a_damaged_line_of_a_serial_adapter_is_counted_and_skipped(damaged, malformed):
    frames, tally = read_lines(GOOD + damaged + GOOD)
    assert frames == ["19FECA44#154500106102ffff"] * 2
    assert tally.malformed == malformed


def test_the_first_line_may_be_cut():
    assert read_lines(GOOD[5:] + GOOD)[1].malformed == 0


def test_pauses_double_up_to_a_limit_and_differ():
    backoff = Backoff(first=1.0, most=8.0)
    pauses = [backoff.take() for _ in range(6)]
    for pause, most in zip(pauses, (1.0, 2.0, 4.0, 8.0, 8.0, 8.0), strict=True):
        assert most / 2 <= pause <= most
    assert len(set(pauses)) > 1
    backoff.reset()
    assert backoff.take() <= 1.0


def open_socketcand(port):
    options = BusOptions("socketcand", "can0", {"host": "127.0.0.1", "port": port})
    return open_connection(extras.import_optional("can"), options, None, Tally())


def test_a_port_that_nobody_serves_is_reported_at_once():
    began = time.monotonic()
    with pytest.raises(BusUnavailable, match="refused"):
        open_socketcand(find_free_port())
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([b"220 smtp ready\r\n"], "answers b'220 sm' instead of '< hi >'"),
        ([b""], "answers b''"),
        ([b"< hi >", b"< hi >< error >"], "answers b'< erro' instead of '< ok >'"),
    ],
)
def test_a_server_that_answers_otherwise_is_reported(answers, words):
    def serve() -> None:
        for answer in answers:
            with listener.accept()[0] as client, suppress(OSError):
                client.sendall(answer)
                client.shutdown(socket.SHUT_WR)
                client.settimeout(5)
                client.recv(100)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with pytest.raises(BusUnavailable, match=words):
            open_socketcand(listener.getsockname()[1])
        thread.join()


def test_a_server_that_never_answers_is_left(monkeypatch):
    monkeypatch.setattr("notifications.can.socketcand.ANSWER_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(BusUnavailable, match="timed out"):
        open_socketcand(listener.getsockname()[1])


def test_frames_in_a_row_that_cannot_be_read_mean_that_the_bus_is_lost(monkeypatch):
    can, tally = extras.import_optional("can"), Tally()
    monkeypatch.setattr("can.interfaces.virtual.VirtualBus.recv", lambda self, timeout: int("x"))
    with (
        closing(open_connection(can, BusOptions("virtual", "klaxon-bad"), None, tally)) as connection,
        pytest.raises(BusUnavailable, match="20 frames in a row"),
    ):
        [connection.receive() for _ in range(30)]
    assert tally.malformed == 20


def test_a_clock_that_is_set_forward_is_an_event_and_a_time_that_is_no_number_sets_no_clock():
    def read(*times):
        frames = [Frame(time.time() + one, "can0", 0x19FECA44, b"") for one in times]
        listener = BusListener(BusOptions("virtual", "can0"), lambda: not frames, Tally())
        connection = SimpleNamespace(receive=lambda: frames.pop(0))
        return [item.kind if isinstance(item, BusEvent) else "frame" for item in listener._receive(connection)]

    assert read(0, 1, 2) == ["frame"] * 3
    assert read(0, 3600, 3601, 0) == ["frame", "set", "frame", "frame", "frame"]
    assert read(0, float("nan"), 1) == ["frame"] * 3
