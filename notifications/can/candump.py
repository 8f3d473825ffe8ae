"""Read lines of ``candump -L``. Damaged lines are skipped.

python-can's reader stops at the first damaged line, and a recording that ends with a power cut contains one. It also
takes several times as long.
"""

import re
from collections.abc import Iterator
from typing import TextIO

from notifications.can.frame import Frame
from notifications.can.tally import Tally

MAX_LINE_LENGTH = 4096
ERROR_FLAG = 0x2000_0000
ID_MASK = 0x1FFF_FFFF
EXTENDED_DIGITS = 8
LINE = re.compile(
    r"""
    \( (?P<time> [0-9]{1,12} (?: \. [0-9]{1,9} )? ) \) [ ]+  # seconds since 1970
    (?P<bus> [!-~]{1,64} ) [ ]+
    (?P<id> [0-9A-F]{8} | [0-9A-F]{3} ) \#                   # extended or standard
    (?: (?P<data> (?: [0-9A-F]{2} ){0,8} )
      | (?P<remote> R [0-8]? )
      | \# [0-7] (?P<fd_data> (?: [0-9A-F]{2} ){0,64} )      # CAN FD: flags and data
    )
    (?: [ ]+ [RT] )?                                         # received or transmitted
    """,
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)


def read_candump(file: TextIO, tally: Tally) -> Iterator[Frame]:
    """Yield the frames. Lines that are damaged are counted as malformed."""
    match = LINE.fullmatch
    # "for line in file" would read a file without line ends into memory completely.
    while line := file.readline(MAX_LINE_LENGTH):
        # Some editors write a byte order mark before the first frame.
        line = line.strip().removeprefix("\ufeff")
        found = match(line)
        if found is None:
            tally.malformed += bool(line)
            continue
        time, bus, digits, data, remote, fd_data = found.groups()
        arbitration_id = int(digits, 16)
        yield Frame(
            float(time),
            bus,
            arbitration_id & ID_MASK,
            bytes.fromhex(data or fd_data or ""),
            len(digits) == EXTENDED_DIGITS,
            arbitration_id & ERROR_FLAG != 0,
            remote is not None,
        )
