import json
import os
import re
import signal
import threading
import time
from datetime import datetime
from uuid import uuid4

import pytest
from django.core.management import CommandError

from notifications.can.bus import BusListener
from notifications.can.bus_options import BusOptions
from notifications.can.tally import Tally
from notifications.core import extras
from tests.can.candump import bridge

pytestmark = pytest.mark.needs("can")

DM_RV = 0x19FECA44
YELLOW, NONE = "154500106102FFFF", "0545FFFFFFFFFFFF"


@pytest.fixture
def channel():
    return f"klaxon-{uuid4()}"


@pytest.fixture
def vehicle(channel):
    """Another node on the bus; keeps saying ``data`` until ``say`` is called again."""
    can = extras.import_optional("can")
    with can.Bus(interface="virtual", channel=channel) as node:
        stopped = threading.Event()

        def talk(output: list[str]) -> None:
            while not stopped.wait(0.02):
                for data in output:
                    node.send(can.Message(arbitration_id=DM_RV, data=bytes.fromhex(data), is_extended_id=True))

        output = [YELLOW]
        thread = threading.Thread(target=talk, args=(output,))
        thread.start()
        yield output
        stopped.set()
        thread.join()


def test_a_live_bus_is_read_until_seconds_have_passed(channel, vehicle):
    before = time.time()
    out, err = bridge(interface="virtual", channel=channel, seconds=0.5, dry_run=True, json=True)
    [raised] = [json.loads(line) for line in out.splitlines()]
    assert (raised["bus"], raised["spn"], raised["kind"]) == (channel, 131, "raised")
    assert before <= datetime.fromisoformat(raised["at"]).timestamp() <= time.time()
    assert "1 faults raised" in err


def test_a_fault_is_cleared_live_from_another_thread(channel, vehicle):
    results = []

    def run() -> None:
        results.append(bridge(interface="virtual", channel=channel, seconds=1.0, dry_run=True, json=True))

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.4)
    vehicle[:] = [NONE]
    thread.join(10)
    [(out, _err)] = results
    assert [json.loads(line)["kind"] for line in out.splitlines()] == ["raised", "cleared"]


def test_sigterm_prints_the_summary_and_restores_the_handlers(channel, vehicle):
    before = signal.getsignal(signal.SIGTERM)
    timer = threading.Timer(0.4, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    _out, err = bridge(interface="virtual", channel=channel, seconds=30.0, dry_run=True, json=True)
    timer.join()
    assert "frames read" in err
    assert signal.getsignal(signal.SIGTERM) is before


def test_time_advances_while_a_bus_is_silent(channel):
    can = extras.import_optional("can")
    with can.Bus(interface="virtual", channel=channel, preserve_timestamps=True) as node:
        until = iter([False] * 4 + [True] * 2)
        heard = BusListener(BusOptions("virtual", channel), lambda: next(until), Tally()).listen()
        sender = threading.Timer(
            0.05, node.send, (can.Message(timestamp=5.0, arbitration_id=DM_RV, data=b"", is_extended_id=True),)
        )
        sender.start()
        frame, *quiet = list(heard)
        sender.join()
    assert frame.timestamp == 5.0
    assert [5.0 < item.timestamp < 6.0 for item in quiet] == [True, True]


def test_an_unknown_interface_is_an_error():
    with pytest.raises(CommandError, match=r"nonsense.*Name one of python-can's interfaces: .*slcan, .*socketcand"):
        bridge(interface="nonsense", channel="can0", seconds=1.0, dry_run=True)


def test_a_missing_option_of_an_interface_is_an_error():
    with pytest.raises(CommandError, match="'socketcand' requires the options host and port"):
        bridge(interface="socketcand", channel="can0", seconds=1.0, dry_run=True)


def test_a_bus_that_fails_is_opened_again(channel, vehicle, monkeypatch):
    can = extras.import_optional("can")
    receive = can.interfaces.virtual.VirtualBus.recv
    failing = iter([True] * 3)

    def fail_at_first(self, timeout=None):
        if next(failing, False):
            raise can.CanOperationError("hung up")
        return receive(self, timeout)

    monkeypatch.setattr("can.interfaces.virtual.VirtualBus.recv", fail_at_first)
    out, err = bridge(interface="virtual", channel=channel, seconds=4.0, dry_run=True, json=True)
    assert [json.loads(line)["kind"] for line in out.splitlines()] == ["raised"]
    assert "1 outages of the bus" in err


def test_the_bus_of_the_settings_is_read(channel, vehicle, settings):
    settings.NOTIFICATIONS = {"CAN_BUS": {"interface": "virtual", "channel": channel}}
    out, _err = bridge(seconds=0.5, dry_run=True, json=True)
    assert json.loads(out)["bus"] == channel


def test_stats_count_the_frames_of_each_device(channel, vehicle):
    _out, err = bridge(interface="virtual", channel=channel, seconds=1.0, dry_run=True, json=True, stats=0.3)
    line, *_others = err.splitlines()
    assert re.match(rf"{channel}: \d+ frames/s, load [1-9]%, 0 changes waiting, 0 dropped", line)
    [row] = re.findall(r" +1FECA +44 +(\d+)", err)
    assert f"{row} frames read" in err


def test_a_sender_that_is_slow_at_the_end_leaves_changes(channel, vehicle, monkeypatch, settings):
    """It must not keep the process for longer than STOP_SECONDS."""
    settings.NOTIFICATIONS = {"STOP_SECONDS": 0}
    vehicle[:] = [f"05450000{number:02X}02FFFF" for number in range(1, 40)]

    printed = []

    def stop_slowly(command, change, as_json):
        printed.append(change)
        time.sleep(0.6)
        # A second signal would end the process.
        if len(printed) == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("notifications.management.commands.bridge_can.Command._print", stop_slowly)
    with pytest.raises(CommandError, match=r"(19|20) changes were not sent within 0 seconds") as refused:
        bridge(interface="virtual", channel=channel, dry_run=True, json=True)
    assert len(printed) == 1
    assert refused.value.returncode == 3
