"""Read recordings: those of candump with our own reader, and all others with python-can's."""

import gzip
import sqlite3
import struct
import zlib
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path, PurePath
from types import ModuleType
from typing import Any

from notifications.can.candump import read_candump
from notifications.can.frame import Frame
from notifications.can.tally import Tally
from notifications.core import extras
from notifications.exceptions import RecordingUnreadable

CANDUMP = ".log"
# The formats whose files this module opens, with python-can's readers. python-can opens files of other formats itself.
READERS = {
    ".trc": ("TRCReader", "rt"),
    ".asc": ("ASCReader", "rt"),
    ".csv": ("CSVReader", "rt"),
    ".blf": ("BLFReader", "rb"),
}

# The errors that readers raise for a file in another format than its name says. Only the reader for .blf has its own.
READ_ERRORS = (
    ArithmeticError,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    ValueError,
    sqlite3.Error,
    struct.error,
    zlib.error,
)


def read_frames(path: Path, tally: Tally) -> Iterator[Frame]:
    """Yield the frames of a recording. Damaged lines of a candump log are counted in ``tally`` and skipped.

    :raises MissingExtra: if python-can is not installed.
    :raises RecordingUnreadable: if the file does not exist, its format is unknown, or it is damaged.
    """
    can = extras.import_optional("can")
    if not path.exists():
        raise RecordingUnreadable(f"There is no recording {str(path)!r}. Give the path of a file.")
    read = 0
    try:
        for frame in _iterate_frames(can, path, tally):
            yield frame
            read += 1
    except (*READ_ERRORS, can.io.blf.BLFParseError) as error:
        reason = str(error) or type(error).__name__
        raise RecordingUnreadable(f"{path.name!r} cannot be read after {read} frames: {reason}") from error
    # Most readers of python-can skip what they do not understand, so a file of another kind looks empty.
    if not read and not tally.frames and path.stat().st_size:
        raise RecordingUnreadable(
            f"{path.name!r} has no frame in the format of its file extension. Check whether it is a CAN recording."
        )


def _iterate_frames(can: ModuleType, path: Path, tally: Tally) -> Iterator[Frame]:
    is_gzipped = path.suffix.lower() == ".gz"
    suffix = PurePath(path.stem if is_gzipped else path.name).suffix.lower()
    if suffix == CANDUMP:
        with _open_file(path, "rt", is_gzipped) as file:
            yield from read_candump(file, tally)
    elif suffix in READERS:
        reader, mode = READERS[suffix]
        with _open_file(path, mode, is_gzipped) as file:
            yield from map(Frame.of, getattr(can, reader)(file))
    else:
        with can.LogReader(path) as messages:
            yield from map(Frame.of, messages)


def _open_file(path: Path, mode: str, is_gzipped: bool) -> Any:
    file: Any = gzip.GzipFile(path) if is_gzipped else path.open("rb")
    # Recorders on Windows write the name of their folder into the header, in any encoding. Frames are ASCII.
    return TextIOWrapper(file, "utf-8", errors="replace") if mode == "rt" else file
