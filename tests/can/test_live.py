import json
import os
import signal
import threading
import time
from datetime import datetime
from uuid import uuid4

import pytest
from django.core.management import CommandError

from notifications.can import bus
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
        until = iter([False] * 3 + [True])
        heard = bus.listen("virtual", channel, lambda: next(until))
        sender = threading.Timer(
            0.05, node.send, (can.Message(timestamp=5.0, arbitration_id=DM_RV, data=b"", is_extended_id=True),)
        )
        sender.start()
        frame, *quiet = list(heard)
        sender.join()
    assert frame.timestamp == 5.0
    assert [item.timestamp > 5.0 for item in quiet] == [True, True]


def test_a_bus_that_cannot_be_opened_is_an_error():
    with pytest.raises(CommandError, match="'nonsense can0' cannot be opened"):
        bridge(interface="nonsense", channel="can0", seconds=1.0, dry_run=True)


def test_a_lost_bus_ends_the_bridge_with_an_error(channel, vehicle, monkeypatch):
    can = extras.import_optional("can")

    def hung_up(self, timeout=None):
        raise can.CanOperationError("hung up")

    monkeypatch.setattr("can.interfaces.virtual.VirtualBus.recv", hung_up)
    with pytest.raises(CommandError, match="was lost: hung up"):
        bridge(interface="virtual", channel=channel, seconds=5.0, dry_run=True)
