"""A serial CAN adapter that is not there: a pseudo-terminal that speaks Lawicel's protocol, called slcan.

It answers the commands that open, close and configure the channel. Like a real adapter it never waits for its reader:
what does not fit into its buffer is lost, and counted.
"""

import fcntl
import os
import select
import sys
import termios
import threading
import time
import tty
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from example_project.coach.messages import SimulatedFrame

OK, ERROR = b"\r", b"\a"
ANSWERS = {b"V": b"V1013\r", b"N": b"NK001\r", b"F": b"F00\r"}
OPENING, CONFIGURING, SENDING = b"OL", b"SsYZXWMm", b"tTrRdDbB"
BUFFER_BYTES = 1 << 20
POLL_SECONDS = 0.05
EMPTY_POLLS = 4


class SlcanAdapter:
    """``path`` is the terminal to open, with ``bridge_can --interface slcan --channel PATH``.

    :ivar lost: the number of frames that did not fit into the buffer.
    """

    def __init__(self) -> None:
        self.lost = 0
        self._is_open = False
        self._lock = threading.Lock()
        self._buffer = bytearray()
        self._commands = bytearray()
        self._stopped = threading.Event()
        self._terminal, slave = os.openpty()
        tty.setraw(slave)
        self.path = os.ttyname(slave)
        os.close(slave)
        os.set_blocking(self._terminal, False)
        self._thread = threading.Thread(target=self._serve, name="slcan adapter", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def has_listener(self) -> bool:
        return self._is_open

    def send(self, frames: Iterable[SimulatedFrame]) -> None:
        """Give frames to the listener. While the channel is closed they are not lost: nobody wants them."""
        with self._lock:
            if not self._is_open:
                return
            for frame in frames:
                line = frame.as_slcan()
                if len(self._buffer) + len(line) > BUFFER_BYTES:
                    self.lost += 1
                else:
                    self._buffer += line
            self._write()

    def flush(self, seconds: float = 10.0) -> None:
        """Wait until the listener has everything, or for at most this time."""
        ends_at = time.monotonic() + seconds
        # The kernel discards what the listener has not read when the terminal is closed. It passes bytes on a moment
        # after they were written, and counts them only then.
        empty_for = 0
        while empty_for < EMPTY_POLLS and time.monotonic() < ends_at:
            empty_for = 0 if self._buffer or self._count_unread() else empty_for + 1
            time.sleep(POLL_SECONDS)

    def _count_unread(self) -> int:
        side = os.open(self.path, os.O_RDWR | os.O_NOCTTY)
        try:
            return int.from_bytes(fcntl.ioctl(side, termios.FIONREAD, bytes(4)), sys.byteorder)
        finally:
            os.close(side)

    def close(self) -> None:
        """Hang up, as when the adapter is unplugged."""
        self._stopped.set()
        self._thread.join()
        os.close(self._terminal)

    def _serve(self) -> None:
        while not self._stopped.is_set():
            writable = [self._terminal] if self._buffer else []
            readable, writable, _errors = select.select([self._terminal], writable, [], POLL_SECONDS)
            with self._lock:
                if readable and not self._read():
                    # Nobody has opened the terminal, so select() returns at once.
                    self._stopped.wait(POLL_SECONDS)
                if writable:
                    self._write()

    def _read(self) -> bool:
        """Process commands. Return whether somebody has opened the terminal."""
        try:
            received = os.read(self._terminal, 4096)
        except BlockingIOError:
            return True
        except OSError:
            self._is_open = False
            self._buffer.clear()
            self._commands.clear()
            return False
        self._commands += received
        *commands, rest = self._commands.split(b"\r")
        self._commands = bytearray(rest[-64:])
        for command in commands:
            self._buffer += self._answer(bytes(command))
        return True

    def _answer(self, command: bytes) -> bytes:
        kind = command[:1]
        if kind in ANSWERS:
            return ANSWERS[kind]
        if kind == b"C":
            self._is_open = False
            self._buffer.clear()
            return OK
        if kind and kind in OPENING:
            self._is_open = True
            return OK
        # A frame is refused: this bus has no other nodes, and a bridge only listens.
        return ERROR if kind and (kind in SENDING or kind not in CONFIGURING) else OK

    def _write(self) -> None:
        while self._buffer:
            try:
                written = os.write(self._terminal, self._buffer[:4096])
            except BlockingIOError:
                return
            except OSError:
                self._buffer.clear()
                return
            del self._buffer[:written]
