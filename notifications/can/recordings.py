"""Read recordings with python-can, as fast as possible and without the pauses between frames."""

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

# The formats whose files this module opens, with python-can's readers. python-can opens files of other formats itself.
READERS = {
    ".log": ("CanutilsLogReader", "rt"),
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
    with _open_messages(can, path, tally) as messages:
        for message in messages:
            yield Frame.of(message)


@contextmanager
def _open_messages(can: ModuleType, path: Path, tally: Tally) -> Iterator[Iterable[Any]]:
    is_gzipped = path.suffix.lower() == ".gz"
    suffix = PurePath(path.stem if is_gzipped else path.name).suffix.lower()
    if suffix not in READERS:
        with can.LogReader(path) as messages:
            yield messages
        return
    reader, mode = READERS[suffix]
    with _open_file(path, mode, is_gzipped) as file:
        yield getattr(can, reader)(CandumpLines(file, tally) if suffix == ".log" else file)


def _open_file(path: Path, mode: str, is_gzipped: bool) -> Any:
    file: Any = gzip.GzipFile(path) if is_gzipped else path.open("rb")
    # Recorders on Windows write the name of their folder into the header, in any encoding. Frames are ASCII.
    return TextIOWrapper(file, "utf-8", errors="replace") if mode == "rt" else file
