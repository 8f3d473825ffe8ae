"""The simulator's two buses, with real listeners."""

import io
import os
import re
import select
import socket
import threading
import time
from contextlib import contextmanager

import pytest
from django.core.management import CommandError, call_command

from example_project.coach import slcan_adapter
from example_project.coach.messages import SimulatedFrame, make_healthy_dm_rv
from example_project.coach.playing import SocketcandOutput, play, wait_for_listener
from example_project.coach.slcan_adapter import SlcanAdapter
from example_project.coach.socketcand_server import SocketcandServer
from notifications.core import extras

FRAMES = [make_healthy_dm_rv(number / 1000, number % 250) for number in range(300)]


@pytest.fixture
def adapter():
    with SlcanAdapter() as adapter:
        yield adapter


@contextmanager
def opened(path: str):
    terminal = os.open(path, os.O_RDWR | os.O_NOCTTY)
    try:
        yield terminal
    finally:
        os.close(terminal)


def ask(terminal: int, command: bytes) -> bytes:
    os.write(terminal, command + b"\r")
    return read(terminal, 1)


def read(terminal: int, at_least: int) -> bytes:
    """At least so many bytes, or all until the adapter is unplugged."""
    received = b""
    while len(received) < at_least and select.select([terminal], [], [], 20)[0]:
        try:
            part = os.read(terminal, 4096)
        except OSError:
            break
        if not part:
            break
        received += part
    return received


def wait_until(condition) -> None:
    ends_at = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < ends_at, "It did not happen."
        time.sleep(0.01)


def listen(count: int, ready: threading.Event | None = None, **options) -> list[SimulatedFrame]:
    can = extras.import_optional("can")
    received = []
    with can.Bus(**options) as bus:
        if ready is not None:
            ready.set()
        ends_at = time.monotonic() + 20
        while len(received) < count and time.monotonic() < ends_at:
            if message := bus.recv(0.2):
                received.append((message.arbitration_id, bytes(message.data)))
    return received


def contents(frames):
    return [(frame.arbitration_id, frame.data) for frame in frames]


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (b"S5", b"\r"),
        (b"", b"\r"),
        (b"V", b"V1013\r"),
        (b"N", b"NK001\r"),
        (b"F", b"F00\r"),
        (b"T19FECA4480102030405060708", b"\a"),
        (b"nonsense", b"\a"),
    ],
)
def test_commands_are_answered_as_an_adapter_does(adapter, command, answer):
    with opened(adapter.path) as terminal:
        assert ask(terminal, command) == answer
        assert not adapter.has_listener


def test_frames_flow_only_while_the_channel_is_open(adapter):
    [frame] = FRAMES[:1]
    with opened(adapter.path) as terminal:
        adapter.send([frame])
        assert ask(terminal, b"L") == b"\r"
        assert adapter.has_listener
        adapter.send([frame])
        assert read(terminal, len(frame.as_slcan())) == frame.as_slcan()
        assert ask(terminal, b"C") == b"\r"
        assert not adapter.has_listener


def test_a_listener_can_leave_and_come_back(adapter):
    for _time in range(2):
        with opened(adapter.path) as terminal:
            ask(terminal, b"O")
            assert adapter.has_listener
        wait_until(lambda: not adapter.has_listener)


def test_what_a_slow_listener_does_not_fetch_is_lost_and_counted(adapter, monkeypatch):
    monkeypatch.setattr(slcan_adapter, "BUFFER_BYTES", 1000)
    with opened(adapter.path) as terminal:
        ask(terminal, b"O")
        line = FRAMES[0].as_slcan()
        for _time in range(100):
            adapter.send([FRAMES[0]] * 100)
        received = b""
        while select.select([terminal], [], [], 0.3)[0]:
            received += os.read(terminal, 4096)
    assert adapter.lost > 0
    assert received.count(line) == 100 * 100 - adapter.lost


def test_a_damaged_frame_is_sent_as_it_is(adapter):
    cut = FRAMES[0]._replace(damage="cut")
    with opened(adapter.path) as terminal:
        ask(terminal, b"O")
        adapter.send([cut])
        assert read(terminal, len(cut.as_slcan())) == cut.as_slcan()


def test_an_adapter_that_is_unplugged_hangs_up():
    adapter = SlcanAdapter()
    with opened(adapter.path) as terminal:
        ask(terminal, b"O")
        adapter.close()
        assert os.read(terminal, 1) == b""


@pytest.mark.needs("can", "serial")
def test_python_can_reads_every_frame_of_the_adapter(adapter):
    received = []
    options = {"interface": "slcan", "channel": adapter.path, "listen_only": True, "sleep_after_open": 0}
    thread = threading.Thread(target=lambda: received.extend(listen(len(FRAMES), bitrate=250_000, **options)))
    thread.start()
    # The channel is closed and opened again when the bit rate is set.
    assert wait_for_listener(adapter, 10, lambda: False)
    time.sleep(0.3)
    assert play(FRAMES, adapter, lambda: False) == len(FRAMES)
    thread.join()
    assert received == contents(FRAMES)
    assert adapter.lost == 0


@pytest.mark.needs("can")
def test_python_can_reads_every_frame_of_the_server():
    received = []
    with SocketcandServer() as server:
        options = {"interface": "socketcand", "host": "127.0.0.1", "port": server.port, "channel": "can0"}
        thread = threading.Thread(target=lambda: received.extend(listen(len(FRAMES), **options)))
        thread.start()
        output = SocketcandOutput(server)
        assert wait_for_listener(output, 10, lambda: False)
        play(FRAMES, output, lambda: False)
        thread.join()
    assert received == contents(FRAMES)


@pytest.mark.needs("can")
def test_two_clients_of_the_server_get_the_same_frames():
    received = [], []
    with SocketcandServer() as server:
        options = {"interface": "socketcand", "host": "127.0.0.1", "port": server.port, "channel": "can0"}
        threads = []
        for number, frames in enumerate(received, start=1):
            threads.append(threading.Thread(target=lambda frames=frames: frames.extend(listen(len(FRAMES), **options))))
            threads[-1].start()
            wait_until(lambda number=number: server.client_count == number)
        play(FRAMES, SocketcandOutput(server), lambda: False)
        for thread in threads:
            thread.join()
        # The connections that the clients have closed are dropped.
        wait_until(lambda: not server.send(FRAMES[0]))
    assert received == (contents(FRAMES), contents(FRAMES))


def test_a_script_is_played_at_its_pace_and_can_be_stopped():
    class Recorder:
        has_listener = True
        frames = []

        def send(self, frames):
            self.frames += frames

    begun_at = time.monotonic()
    assert play(FRAMES, Recorder(), lambda: False) == len(FRAMES)
    assert time.monotonic() - begun_at >= 0.299
    assert Recorder.frames == FRAMES
    assert play(FRAMES, Recorder(), lambda: True) < len(FRAMES)


class Output(io.StringIO):
    """The output of a command in another thread."""

    def find(self, pattern: str) -> str:
        wait_until(lambda: re.search(pattern, self.getvalue()))
        return re.search(pattern, self.getvalue())[1]


@pytest.fixture
def simulating():
    out = Output()
    threads = []

    def simulate(**options):
        options = {"stdout": out, "minutes": 0.02, "rate": 500.0, "wait": 15.0, **options}
        threads.append(threading.Thread(target=call_command, args=("simulate_coach",), kwargs=options, daemon=True))
        threads[0].start()
        return out

    yield simulate
    threads[0].join(20)
    assert not threads[0].is_alive()


def test_the_command_serves_an_adapter_and_ends_with_its_script(simulating):
    out = simulating(slcan=True, script="healthy")
    with opened(out.find(r"--channel (\S+)")) as terminal:
        # The first frames may come together with the answer.
        received = ask(terminal, b"O") + read(terminal, 1_000_000)
    assert received.count(b"T") == int(out.find(r"(\d+) frames sent")) > 200
    assert out.find(r"(\d+) frames lost") == "0"


def test_the_command_serves_socketcand(simulating):
    out = simulating(socketcand=0, script="drive")
    with socket.create_connection(("127.0.0.1", int(out.find(r"port=(\d+)")))) as client:
        for command in (b"< open can0 >", b"< rawmode >"):
            client.recv(100)
            client.sendall(command)
        received = b""
        while part := client.recv(10_000):
            received += part
    assert received.count(b"< frame ") == int(out.find(r"(\d+) frames sent"))


def test_nobody_listens():
    with pytest.raises(CommandError, match=r"Nobody listened within 0\.1 seconds"):
        call_command("simulate_coach", slcan=True, wait=0.1, stdout=io.StringIO())


def test_a_port_that_is_taken_is_named():
    with SocketcandServer() as server, pytest.raises(CommandError, match=f"Port {server.port} cannot be used"):
        call_command("simulate_coach", socketcand=server.port, stdout=io.StringIO())
