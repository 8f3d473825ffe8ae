"""Lines of ``candump -L``, with what cannot be read taken out.

python-can's reader ends at the first damaged line, and every recording that a power cut ended has one.
"""

import re
from collections.abc import Iterator
from typing import TextIO

from notifications.can.tally import Tally

LONGEST_LINE = 4096
ERROR_FLAG = 0x2000_0000
LINE = re.compile(
    r"""
    \( [0-9]{1,12} (?: \. [0-9]{1,9} )? \) [ ]+  # seconds since 1970
    [!-~]{1,64} [ ]+                             # the bus
    (?P<id> [0-9A-F]{8} | [0-9A-F]{3} ) \#       # extended or standard
    (?: (?: [0-9A-F]{2} ){0,8}                   # data
      | R [0-8]?                                 # remote frame
      | \# [0-7] (?: [0-9A-F]{2} ){0,64}         # CAN FD: flags and data
    )
    (?: [ ]+ [RT] )?                             # received or transmitted
    """,
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)


class CandumpLines:
    """A file for ``can.CanutilsLogReader`` that holds the good lines of another, and counts the others."""

    def __init__(self, file: TextIO, tally: Tally) -> None:
        self.file = file
        self.tally = tally

    def __iter__(self) -> Iterator[str]:
        # Not "for line in file": a file without line ends would be read into memory whole.
        while line := self.file.readline(LONGEST_LINE):
            # Some editors put a byte order mark before the first frame.
            line = line.removeprefix("\ufeff")
            if self._is_good(line.strip()):
                yield line

    def close(self) -> None:
        self.file.close()

    def _is_good(self, line: str) -> bool:
        match = LINE.fullmatch(line)
        if match is None:
            self.tally.malformed += bool(line)
            return False
        if int(match["id"], 16) & ERROR_FLAG:
            # python-can knows bus errors only and takes the other error frames for data.
            self.tally.frames += 1
            self.tally.ignored += 1
            return False
        return True
