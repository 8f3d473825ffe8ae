"""Read lines of ``candump -L``, without the damaged ones.

python-can's reader stops at the first damaged line, and a recording that ends with a power cut contains one.
"""

import re
from collections.abc import Iterator
from typing import TextIO

from notifications.can.tally import Tally

MAX_LINE_LENGTH = 4096
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
    """A file for ``can.CanutilsLogReader`` that yields the valid lines of another file and counts the damaged ones."""

    def __init__(self, file: TextIO, tally: Tally) -> None:
        self.file = file
        self.tally = tally

    def __iter__(self) -> Iterator[str]:
        # "for line in file" would read a file without line ends into memory completely.
        while line := self.file.readline(MAX_LINE_LENGTH):
            # Some editors write a byte order mark before the first frame.
            line = line.removeprefix("\ufeff")
            if self._is_valid(line.strip()):
                yield line

    def close(self) -> None:
        self.file.close()

    def _is_valid(self, line: str) -> bool:
        match = LINE.fullmatch(line)
        if match is None:
            self.tally.malformed += bool(line)
            return False
        if int(match["id"], 16) & ERROR_FLAG:
            # python-can only recognises bus errors, and treats other error frames as data.
            self.tally.frames += 1
            self.tally.ignored += 1
            return False
        return True
