"""Recordings, through the readers of python-can. They are read as fast as they can be, without their pauses."""

import gzip
import sqlite3
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path, PurePath
from types import ModuleType
from typing import Any

from notifications.can.candump import CandumpLines
from notifications.can.frame import Frame
from notifications.can.tally import Tally
from notifications.core import extras
from notifications.exceptions import RecordingUnreadable

# Files that we open, and python-can's readers for them; all others it opens itself.
READERS = {
    ".log": ("CanutilsLogReader", "rt"),
    ".trc": ("TRCReader", "rt"),
    ".asc": ("ASCReader", "rt"),
    ".csv": ("CSVReader", "rt"),
    ".blf": ("BLFReader", "rb"),
}

# What the readers raise for a file that is not what its name says. Only the one for .blf has an error of its own.
DAMAGED = (
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
    """The frames of a recording, in its order. Damaged lines of a candump log are counted in ``tally`` and left out.

    :raises MissingExtra: if python-can is not installed.
    :raises RecordingUnreadable: if there is no such file, its format is unknown, or it is damaged.
    """
    can = extras.import_optional("can")
    if not path.exists():
        raise RecordingUnreadable(f"There is no recording {str(path)!r}. Give the path of a file.")
    read = 0
    try:
        for frame in _frames(can, path, tally):
            yield frame
            read += 1
    except (*DAMAGED, can.io.blf.BLFParseError) as error:
        reason = str(error) or type(error).__name__
        raise RecordingUnreadable(f"{path.name!r} cannot be read after {read} frames: {reason}") from error
    if tally.malformed and not read and not tally.frames:
        raise RecordingUnreadable(f"{path.name!r} has no line in the format of its name. Is it a CAN recording?")


def _frames(can: ModuleType, path: Path, tally: Tally) -> Iterator[Frame]:
    with _messages(can, path, tally) as messages:
        for message in messages:
            yield Frame.of(message)


@contextmanager
def _messages(can: ModuleType, path: Path, tally: Tally) -> Iterator[Iterable[Any]]:
    zipped = path.suffix.lower() == ".gz"
    suffix = PurePath(path.stem if zipped else path.name).suffix.lower()
    if suffix not in READERS:
        with can.LogReader(path) as messages:
            yield messages
        return
    reader, mode = READERS[suffix]
    with _opened(path, mode, zipped) as file:
        yield getattr(can, reader)(CandumpLines(file, tally) if suffix == ".log" else file)


def _opened(path: Path, mode: str, zipped: bool) -> Any:
    file: Any = gzip.GzipFile(path) if zipped else path.open("rb")
    # Recorders on Windows write their folder's name into the header, in whatever encoding; frames are ASCII.
    return TextIOWrapper(file, "utf-8", errors="replace") if mode == "rt" else file
