"""A small socketcand server on loopback: it gives every client the frames of an iterable, in raw mode.

It implements what python-can's ``socketcand`` interface uses: ``< open BUS >`` and ``< rawmode >``. Frames that clients
send are ignored. See the protocol: https://github.com/linux-can/socketcand/blob/master/doc/protocol.md
"""

import socket
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Protocol, Self

HOST = "127.0.0.1"
SEND_SECONDS = 5


class FrameToServe(Protocol):
    """A frame. The simulation's frames and those of the bridge can be served."""

    @property
    def arbitration_id(self) -> int: ...

    @property
    def data(self) -> bytes: ...


class SocketcandServer:
    """Serves any number of clients. Use it as a context manager.

    :param port: the port; 0 for any free one, which is then kept, also after a restart.
    """

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.sent = 0
        self._listener: socket.socket | None = None
        self._clients: list[socket.socket] = []
        self._lock = threading.Lock()
        self._has_client = threading.Event()
        self._accepting: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Listen, at the same port as before."""
        self._listener = socket.create_server((HOST, self.port))
        self.port = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept_clients, args=(self._listener,), daemon=True)
        self._accepting.start()

    def stop(self) -> None:
        """Close the port and the connection, as if the server were killed."""
        if self._listener is not None:
            # Closing alone does not wake a thread that waits in accept().
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        if self._accepting is not None:
            self._accepting.join(5)
        self.cut()

    def cut(self) -> None:
        """Close the connections to all clients. They can connect again."""
        with self._lock:
            for client in [*self._clients]:
                self._drop(client)

    def _drop(self, client: socket.socket) -> None:
        self._clients.remove(client)
        if not self._clients:
            self._has_client.clear()
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
        client.close()

    @property
    def client_count(self) -> int:
        return len(self._clients)

    def wait_for_client(self, seconds: float) -> bool:
        """Return whether a client receives frames within this time."""
        return self._has_client.wait(seconds)

    def send(self, frame: FrameToServe) -> bool:
        """Send one frame now. Return whether a client was there."""
        return self.send_text(format_frame(frame))

    def send_text(self, text: str) -> bool:
        """Send any text, such as several frames or a damaged one."""
        with self._lock:
            for client in [*self._clients]:
                try:
                    client.sendall(text.encode("latin-1"))
                except OSError:
                    self._drop(client)
            was_sent = bool(self._clients)
        self.sent += was_sent
        return was_sent

    def serve(self, frames: Iterable[FrameToServe], per_second: float) -> int:
        """Send frames at a rate, and return how many a client was there for. Frames without one are lost."""
        begun_at = time.monotonic()
        received = 0
        for number, frame in enumerate(frames):
            early = begun_at + number / per_second - time.monotonic()
            if early > 0:
                time.sleep(early)
            received += self.send(frame)
        return received

    def _accept_clients(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _address = listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with suppress(OSError):
                self._greet(client)

    def _greet(self, client: socket.socket) -> None:
        client.settimeout(SEND_SECONDS)
        client.sendall(b"< hi >")
        for command in (b"< open ", b"< rawmode >"):
            if not client.recv(256).startswith(command):
                client.close()
                return
            client.sendall(b"< ok >")
        # A client that reads nothing for so long must not stop the others.
        client.settimeout(SEND_SECONDS)
        with self._lock:
            self._clients.append(client)
            self._has_client.set()


def format_frame(frame: FrameToServe) -> str:
    """Return a frame as socketcand writes it, with the present time."""
    now = time.time()
    return f"< frame {frame.arbitration_id:08X} {now:.6f} {frame.data.hex().upper()} >"
