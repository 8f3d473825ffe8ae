"""Read the lines of a serial adapter (slcan, Lawicel).

python-can opens the adapter. It reads byte by byte, which takes 0.1 milliseconds for each frame, and one byte that is
damaged prevents it from reading on. So this module reads the port.
"""

import re
import time
from collections import deque
from typing import Any

from notifications.can.frame import Frame
from notifications.can.tally import Tally

LINE = re.compile(
    rb"""
    (?P<kind> [TRtr] )
    (?P<id> (?<=[TR]) [0-1][0-9A-F]{7} | (?<=[tr]) [0-7][0-9A-F]{2} )
    (?P<length> [0-8] )
    (?P<data> (?: [0-9A-F]{2} )*? )
    (?: [0-9A-F]{4} )?               # milliseconds of the adapter, if it adds them
    """,
    re.VERBOSE | re.IGNORECASE,
)
# The adapter's answers to commands end like frames, or with BEL if there was an error.
ENDS = re.compile(rb"[\r\n\a]")
ANSWER = re.compile(rb"[zZ]?|[VvNF][0-9A-Za-z]{0,16}")
MAX_LINE_LENGTH = 64


class SlcanReader:
    """Reads frames from the serial port of an adapter. The time of a frame is that at which it was read.

    :param port: pyserial's port, with a time-out. It is public in python-can's bus.
    """

    def __init__(self, port: Any, name: str, tally: Tally) -> None:
        self.port = port
        self.name = name
        self.tally = tally
        self._frames: deque[Frame] = deque()
        self._rest = b""
        # The first line may have begun before the port was opened.
        self._is_first_line = True

    def receive(self) -> Frame | None:
        """Return the next frame, or None if there is none until the time-out of the port.

        Lines that cannot be read are counted as malformed.

        :raises OSError: if the port was lost.
        """
        if not self._frames:
            self._read_lines()
        return self._frames.popleft() if self._frames else None

    def _read_lines(self) -> None:
        *lines, rest = ENDS.split(self._rest + self.port.read(max(1, self.port.in_waiting)))
        if len(rest) > MAX_LINE_LENGTH:
            self.tally.malformed += 1
            # What follows up to the next end of a line belongs to it.
            rest, self._is_first_line = b"", True
        self._rest = rest
        now = time.time()
        for line in lines:
            frame = self._parse(line, now)
            if frame is not None:
                self._frames.append(frame)
            elif not self._is_first_line and not ANSWER.fullmatch(line):
                self.tally.malformed += 1
            self._is_first_line = False

    def _parse(self, line: bytes, now: float) -> Frame | None:
        found = LINE.fullmatch(line)
        if found is None:
            return None
        kind, digits, length, data = found.groups()
        is_remote = kind in b"Rr"
        if len(data) != (0 if is_remote else 2 * int(length)):
            return None
        content = bytes.fromhex(data.decode("ascii"))
        return Frame(now, self.name, int(digits, 16), content, kind in b"TR", is_remote=is_remote)
