"""Reports to systemd, which is a real socket here: ready, alive while the loops go round, and stopping."""

import os
import signal
import socket
import threading
import time
from contextlib import contextmanager, suppress

import pytest

from notifications.delivering.workers import pulse
from notifications.delivering.workers.pulse import Pulse
from notifications.delivering.workers.worker_processes import WorkerProcesses
from notifications.monitoring.systemd import Systemd, find_systemd, reporting_to_systemd
from tests.processes import start, until

pytestmark = [pytest.mark.skipif("not hasattr(socket, 'AF_UNIX')"), pytest.mark.one_database]

TIMEOUT = 120
"""Seconds. On a busy machine, a worker takes long to start."""


@contextmanager
def listen(address):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        receiver.settimeout(TIMEOUT)
        yield receiver


def receive(receiver):
    return receiver.recv(4096).decode().splitlines()


def wait_for_silence(receiver, seconds):
    """Return once nothing has arrived for so long."""
    receiver.settimeout(seconds)
    with suppress(TimeoutError):
        for _ in range(100):
            receive(receiver)
        raise AssertionError("it reports on and on")
    receiver.settimeout(TIMEOUT)


class Service:
    forks = False

    def __init__(self):
        self.stopping, self.stuck = False, []

    def is_stopping(self):
        return self.stopping

    def find_stuck_loops(self):
        return self.stuck


def test_it_reports_that_it_is_ready_alive_and_stopping(tmp_path, monkeypatch, caplog):
    address = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    monkeypatch.setenv("WATCHDOG_USEC", "300000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    service = Service()
    with listen(address) as receiver:
        with reporting_to_systemd(service):
            assert receive(receiver)[0] == "READY=1"
            assert receive(receiver) == ["WATCHDOG=1"]
            assert receive(receiver) == ["WATCHDOG=1"]
            service.stuck = ["supervision"]
            until(lambda: "These loops are stuck" in caplog.text)
            wait_for_silence(receiver, 1)
            service.stuck = []
            assert receive(receiver) == ["WATCHDOG=1"]
            service.stopping = True
        lines = []
        while "STOPPING=1" not in lines:
            lines = receive(receiver)


@pytest.mark.parametrize(
    ("environment", "interval"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 10.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 10.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_interval_is_a_third_of_what_systemd_expects_of_this_process(environment, interval):
    assert find_systemd({"NOTIFY_SOCKET": "/run/notify", **environment})._interval == interval


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "relative/path"])
def test_without_a_socket_nothing_is_reported(address):
    assert find_systemd({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"}) is None


def test_a_socket_that_is_gone_is_logged(tmp_path, caplog):
    Systemd(str(tmp_path / "gone")).notify("READY=1")
    assert "systemd could not be informed of READY=1" in caplog.text


def test_a_loop_is_stuck_after_its_interval_and_two_minutes(monkeypatch):
    now = 1000.0
    monkeypatch.setattr(pulse.time, "monotonic", lambda: now)
    beats = Pulse()
    beats.beat()
    assert beats.find_stuck() == []
    beats.start("supervision", 30)
    now += pulse.STUCK_SECONDS + 30
    assert beats.find_stuck() == []
    now += 1
    assert beats.find_stuck() == ["supervision"]
    beats.beat()
    assert beats.find_stuck() == []
    now += 1000
    beats.end()
    assert beats.find_stuck() == []


def test_another_thread_that_goes_round_does_not_hide_one_that_is_stuck(monkeypatch):
    monkeypatch.setattr(pulse, "STUCK_SECONDS", 0.05)
    beats = Pulse()
    thread = threading.Thread(target=beats.start, args=["delivery"])
    thread.start()
    thread.join()
    beats.start("supervision")
    time.sleep(0.1)
    beats.beat()
    assert beats.find_stuck() == ["delivery"]


def test_children_report_their_stuck_loops_to_the_parent(monkeypatch):
    class Child:
        class process:  # noqa: N801
            pid = 7

        last_report_at, stuck_loops = time.monotonic(), ()

    processes, child = WorkerProcesses(1), Child()
    processes._children = [child]
    assert processes.find_stuck_loops() == []
    processes._handle_report(child, ["heartbeat"])
    assert processes.find_stuck_loops() == ["heartbeat of process 7"]
    processes._handle_report(child, [])
    child.last_report_at -= pulse.STUCK_SECONDS + 1
    assert processes.find_stuck_loops() == ["process 7"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("processes", "is_abstract"), [("1", True), ("2", False)])
def test_a_real_worker_reports(tmp_path, processes, is_abstract):
    address = f"@klaxon-test-{os.getpid()}-{time.monotonic_ns()}" if is_abstract else str(tmp_path / "notify")
    with listen(address) as receiver:
        more = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1500000"}
        worker = start("dispatch_notifications", "--watch", "--processes", processes, **more)
        assert "READY=1" in receive(receiver)
        for _ in range(3):
            assert receive(receiver) == ["WATCHDOG=1"]
        worker.send_signal(signal.SIGTERM)
        lines = []
        while "STOPPING=1" not in lines:
            lines = receive(receiver)
        worker.communicate(timeout=TIMEOUT)
        assert worker.returncode == 0
