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
    (?: [TR] [01][0-9A-Fa-f]{7} | [tr] [0-7][0-9A-Fa-f]{2} )  # the id of an extended or a standard frame
    [0-8]                                                     # the number of bytes
    (?: [0-9A-Fa-f]{2} )*
    """,
    re.VERBOSE,
)
EXTENDED, REMOTE = b"TR", b"Rr"
EXTENDED_ID_END, STANDARD_ID_END = 9, 4
# Some adapters add their time in milliseconds.
TIME_DIGITS = 4
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
        # A line without an end stays too long to be valid.
        self._rest = rest[:MAX_LINE_LENGTH]
        now = time.time()
        for line in lines:
            frame = self._parse(line, now)
            if frame is not None:
                self._frames.append(frame)
            elif not self._is_first_line and not ANSWER.fullmatch(line):
                self.tally.malformed += 1
            self._is_first_line = False

    def _parse(self, line: bytes, now: float) -> Frame | None:
        if LINE.fullmatch(line) is None:
            return None
        kind = line[:1]
        is_extended = kind in EXTENDED
        id_end = EXTENDED_ID_END if is_extended else STANDARD_ID_END
        is_remote = kind in REMOTE
        # The length of a remote frame is that of the answer.
        digits = 0 if is_remote else 2 * (line[id_end] - ord("0"))
        data = line[id_end + 1 :]
        if len(data) not in (digits, digits + TIME_DIGITS):
            return None
        content = bytes.fromhex(data[:digits].decode("ascii"))
        return Frame(now, self.name, int(line[1:id_end], 16), content, is_extended, is_remote=is_remote)
