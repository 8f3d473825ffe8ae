"""A live bridge on real transports: a socketcand server that is killed and restarted, and a serial line that is cut."""

import os
import pty
import socket
import threading
import time
import tty
from contextlib import contextmanager, suppress
from itertools import cycle

import pytest

from example_project.coach.socketcand_server import SocketcandServer
from notifications.can.bridge import Bridge
from notifications.can.bus import BusListener
from notifications.can.bus_options import BusOptions
from notifications.can.fault_tracker import FaultTracker
from notifications.can.frame import BusEvent, Frame
from notifications.can.tally import Tally
from tests.can.candump import frame
from tests.ports import find_free_port

pytestmark = pytest.mark.needs("can", "serial")

YELLOW = "154500106102FFFF"
LINE = b"T19FECA448" + YELLOW.encode() + b"\r"


class Listening:
    """A bridge without a sender, in a thread."""

    def __init__(self, options: BusOptions) -> None:
        self.tally = Tally()
        self.items = []
        self.changes = []
        self._stopped = threading.Event()
        self._listener = BusListener(options, self._stopped.is_set, self.tally)
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        for change in Bridge(FaultTracker(self.tally)).process(self._note(self._listener.listen())):
            self.changes.append(change)

    def _note(self, items):
        for item in items:
            self.items.append(item)
            yield item

    @property
    def events(self) -> list[str]:
        return [item.kind for item in self.items if isinstance(item, BusEvent)]

    @property
    def frames(self) -> list[Frame]:
        return [item for item in self.items if isinstance(item, Frame)]

    def wait_for_events(self, count: int) -> None:
        wait_for(lambda: len(self.events) >= count)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._stopped.set()
        self._thread.join(15)
        assert not self._thread.is_alive()


def wait_for(condition, seconds=15.0):
    ends_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends_at, "It did not happen in time."
        time.sleep(0.02)


@contextmanager
def talking(send):
    """Another node that reports a fault without end."""
    stopped = threading.Event()

    def talk() -> None:
        while not stopped.wait(0.005):
            send()

    thread = threading.Thread(target=talk)
    thread.start()
    yield
    stopped.set()
    thread.join()


def socketcand(server):
    return BusOptions("socketcand", "can0", {"host": "127.0.0.1", "port": server.port})


def test_a_server_that_is_killed_again_and_again_is_reconnected_to():
    restarts = 5
    with (
        SocketcandServer(find_free_port()) as server,
        Listening(socketcand(server)) as listening,
        talking(lambda: server.send(frame(YELLOW))),
    ):
        for number in range(restarts):
            listening.wait_for_events(2 * number)
            assert server.wait_for_client(15)
            server.stop()
            listening.wait_for_events(2 * number + 1)
            server.start()
        listening.wait_for_events(2 * restarts)
    assert listening.events == ["lost", "back"] * restarts
    assert listening.tally.outages == restarts
    assert [change.kind for change in listening.changes] == ["raised"]


def test_a_server_that_closes_each_connection_after_one_frame_is_asked_less_and_less_often():
    served_at = []

    def serve(server: socket.socket) -> None:
        while True:
            client, _address = server.accept()
            with client, suppress(OSError):
                client.sendall(b"< hi >")
                if client.recv(100).startswith(b"< open"):
                    client.sendall(b"< ok >")
                    client.recv(100)
                    served_at.append(time.monotonic())
                    client.sendall(b"< ok >< frame 19FECA44 1.5 154500106102FFFF >")
                    time.sleep(0.05)

    def serve_until_closed(server: socket.socket) -> None:
        with suppress(OSError):
            serve(server)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve_until_closed, args=[server])
        thread.start()
        options = BusOptions("socketcand", "can0", {"host": "127.0.0.1", "port": server.getsockname()[1]})
        with Listening(options) as listening:
            wait_for(lambda: len(served_at) > 4, 20)
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)
    assert listening.frames
    # The pauses are at most 0.25, 0.5, 1 and 2 seconds, and at least half of that.
    assert served_at[4] - served_at[3] > 0.9


def test_a_server_that_starts_after_the_bridge_is_found():
    with SocketcandServer(find_free_port()) as server:
        server.stop()
        with Listening(socketcand(server)) as listening:
            wait_for(lambda: listening.events == ["lost"])
            server.start()
            wait_for(lambda: listening.events == ["lost", "back"])
            server.send(frame(YELLOW))
            wait_for(lambda: listening.frames)


def test_frames_of_a_socketcand_server_arrive_in_order_though_they_are_cut():
    sent = [frame(f"{number:016X}", arbitration_id=0x19FFFD44) for number in range(500)]
    with SocketcandServer() as server, Listening(socketcand(server)) as listening:
        assert server.wait_for_client(15)
        text = "".join(f"< frame {one.arbitration_id:08X} 1700000000.5 {one.data.hex()} >" for one in sent)
        for begin in range(0, len(text), 777):
            server.send_text(text[begin : begin + 777])
        wait_for(lambda: len(listening.frames) == len(sent))
    assert [one.data for one in listening.frames] == [one.data for one in sent]
    assert {one.bus for one in listening.frames} == {"can0"}


def test_damage_on_a_socketcand_connection_is_an_outage_and_not_the_end():
    with SocketcandServer() as server, Listening(socketcand(server)) as listening:
        for damage in ("< frame ZZZ 1.5 00 >", "\xff\xfe", "< frame 19FECA44 x 00 >"):
            before = len(listening.events)
            assert server.wait_for_client(15)
            server.send_text(damage)
            listening.wait_for_events(before + 2)
        wait_for(lambda: server.send(frame(YELLOW)) and listening.frames)


@pytest.fixture
def serial_line():
    """Both ends of a pseudo-terminal: our own, and the path of the other."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    path = os.ttyname(slave)
    os.close(slave)
    ends = [master]
    yield ends, path
    for end in ends:
        os.close(end)


def slcan(path):
    return BusOptions("slcan", path, {"listen_only": True, "bitrate": 250000, "sleep_after_open": 0})


def read_commands(end, until):
    read = b""
    ends_at = time.monotonic() + 15
    while until not in read:
        assert time.monotonic() < ends_at
        try:
            read += os.read(end, 100)
        except OSError:
            time.sleep(0.02)  # nobody has opened the other end yet
    return read


def test_a_serial_adapter_is_opened_to_listen_and_damaged_lines_are_skipped(serial_line):
    [end], path = serial_line
    damaged = [b"T19FECA44815450010\xff\xfe02FFFF\r", LINE[:12] + b"\r", b"\x80\r", b"T19"]
    with Listening(slcan(path)) as listening:
        assert read_commands(end, b"L\r").startswith(b"C\rS5\r")
        for part in [LINE, *damaged, *[LINE] * 3]:
            os.write(end, part)
            time.sleep(0.02)
        # The last damaged line has taken the next one along.
        wait_for(lambda: len(listening.frames) == 3)
    assert {one.data.hex().upper() for one in listening.frames} == {YELLOW}
    assert (listening.tally.malformed, listening.tally.outages) == (4, 0)
    assert [change.bus for change in listening.changes] == [path]


def test_a_serial_adapter_that_is_pulled_out_and_put_in_again_is_read_on(serial_line, tmp_path):
    ends, path = serial_line
    link = tmp_path / "adapter"
    link.symlink_to(path)
    with Listening(slcan(str(link))) as listening:
        for _ in range(2):
            read_commands(ends[-1], b"L\r")
            os.write(ends[-1], LINE)
            wait_for(lambda: listening.frames and len(listening.events) % 2 == 0)
            events = len(listening.events)
            master, slave = pty.openpty()
            tty.setraw(slave)
            link.unlink()
            link.symlink_to(os.ttyname(slave))
            os.close(slave)
            os.close(ends.pop())
            ends.append(master)
            listening.wait_for_events(events + 1)
        read_commands(ends[-1], b"L\r")
        os.write(ends[-1], LINE)
        wait_for(lambda: len(listening.frames) == 3)
    assert listening.events == ["lost", "back"] * 2


def test_a_bus_that_is_silent_for_long_is_opened_again(serial_line, monkeypatch):
    """An adapter that was reset is closed, and says nothing until it is opened."""
    monkeypatch.setattr("notifications.can.bus.REOPEN_SECONDS", 0.3)
    [end], path = serial_line
    with Listening(slcan(path)) as listening:
        for _ in range(2):
            read_commands(end, b"S5\r")
        read_commands(end, b"L\r")
        os.write(end, LINE)
        wait_for(lambda: listening.frames)
    assert listening.events == []


def test_a_virtual_bus_gives_each_frame_once():
    import can

    bits = cycle(range(256))
    with (
        can.Bus(interface="virtual", channel="klaxon-once") as node,
        Listening(BusOptions("virtual", "klaxon-once")) as listening,
    ):
        time.sleep(0.3)
        for _ in range(300):
            node.send(can.Message(arbitration_id=0x19FFFD44, data=[next(bits)], is_extended_id=True))
        wait_for(lambda: len(listening.frames) == 300)
    assert [one.data[0] for one in listening.frames] == [number % 256 for number in range(300)]
