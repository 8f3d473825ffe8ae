"""A vehicle on a socketcand server of this process: its faults are reported again and again, to every client."""

import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

PERIOD = 0.05


class Vehicle:
    """Fault number *n* is that of device *n*: each has a source address and a DSA of its own.

    ``connections`` is the number of clients so far. ``standing`` and ``ended`` are the numbers of faults; a device
    whose fault has ended reports that it has none.
    """

    def __init__(self) -> None:
        self.standing: set[int] = set()
        self.ended: set[int] = set()
        self.stopped = threading.Event()
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.clients: list[socket.socket] = []
        self.connections = 0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=run, daemon=True) for run in (self.accept, self.report)]
        for thread in self.threads:
            thread.start()

    def begin(self, number: int) -> None:
        self.standing = self.standing | {number}

    def end(self, number: int) -> None:
        self.standing, self.ended = self.standing - {number}, self.ended | {number}

    def accept(self) -> None:
        while not self.stopped.is_set():
            if not select.select([self.server], [], [], 0.1)[0]:
                continue
            client, _address = self.server.accept()
            try:
                self.greet(client)
            except OSError:
                # A bridge can be killed at any moment, and it tries whether the server is there.
                client.close()
                continue
            with self.lock:
                self.clients = [*self.clients, client]
                self.connections += 1

    @staticmethod
    def greet(client: socket.socket) -> None:
        client.settimeout(30)
        client.sendall(b"< hi >")
        for _ in ("open", "rawmode"):
            client.recv(256)
            client.sendall(b"< ok >")

    def report(self) -> None:
        while not self.stopped.wait(PERIOD):
            lines = [line(number, fault(number)) for number in self.standing]
            lines += [line(number, nothing(number)) for number in self.ended]
            text = "".join(lines).encode()
            for client in self.clients:
                try:
                    client.sendall(text)
                except OSError:
                    with self.lock:
                        self.clients = [one for one in self.clients if one is not client]
                    client.close()

    def close(self) -> None:
        self.stopped.set()
        for thread in self.threads:
            thread.join()
        for one in (self.server, *self.clients):
            one.close()


def line(number: int, data: str) -> str:
    return f"< frame 19FECA{number % 128:02X} {time.time():.6f} {data} >"


def fault(number: int) -> str:
    return f"45{number // 128:02X}00012001FFFF"


def nothing(number: int) -> str:
    return f"05{number // 128:02X}FFFFFFFFFFFF"


def id_of(number: int, bus: str = "can0") -> str:
    """The correlation id of a fault."""
    return f"rvc:{bus}:{number % 128}:{number // 128}:-:9:0"


@contextmanager
def driving() -> Iterator[Vehicle]:
    vehicle = Vehicle()
    try:
        yield vehicle
    finally:
        vehicle.close()
