"""The spool: local files that keep calls which could not be written to the database.

Each record is one line of JSON with a checksum. It is on the disk before :meth:`Spool.append` returns. A replay renames
the file, so that nobody appends to it, reads it, and keeps the lines that it has not processed.

========================  ======================================================
``sends.spool``           the file that records are appended to
``<time>.taken``          a file that a replay has taken and not finished yet
``sends.rejected``        lines that cannot be replayed, each with the reason
``append.lock``           locked while a process appends
``replay.lock``           locked while a process replays
========================  ======================================================
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.files import locks

from notifications.exceptions import SpoolBusy, SpoolDamaged


@dataclass(frozen=True)
class Line:
    """A line of a file, from byte ``begin`` up to byte ``end``."""

    text: bytes
    begin: int
    end: int

    @property
    def is_incomplete(self) -> bool:
        """Whether its process died while appending it, before the call had returned."""
        return not self.text.endswith(b"\n") and not self._is_valid()

    def parse(self) -> dict[str, Any]:
        """Return the record.

        :raises SpoolDamaged: if the line is not a record, or was changed.
        """
        try:
            entry = json.loads(self.text)
            if "rejected" in entry:
                return Line(entry["line"].encode("utf-8", "surrogateescape"), 0, 0).parse()
            record, expected = entry["send"], entry["sha256"]
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise SpoolDamaged("This is not a line of a spool.") from error
        if compute_checksum(record) != expected:
            raise SpoolDamaged("The checksum is wrong.")
        return record

    def _is_valid(self) -> bool:
        try:
            return bool(self.parse())
        except SpoolDamaged:
            return False


class Segment:
    """A file that a replay has taken.

    ``processed`` is the number of bytes that the replay is done with. When the segment is closed, the rest is kept, or
    the file is removed if there is no rest.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.processed = 0

    def __iter__(self) -> Iterator[Line]:
        begin = 0
        with self.path.open("rb") as file:
            for text in file:
                end = begin + len(text)
                yield Line(text, begin, end)
                begin = end

    def close(self) -> None:
        with self.path.open("rb") as file:
            file.seek(self.processed)
            rest = file.read()
        if not rest:
            self.path.unlink()
        elif self.processed:
            _replace_content(self.path, rest)


class Spool:
    """The files in a folder. Several processes can use it at the same time."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.current = self.folder / "sends.spool"
        self.rejected = self.folder / "sends.rejected"

    def append(self, record: Mapping[str, Any]) -> None:
        """Write a record to the disk.

        :raises OSError: if it cannot be written. Then no part of it is kept.
        """
        if not self.folder.exists():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _sync_folder(self.folder.parent)
        with self._locked("append.lock"):
            _append(self.current, {"send": record, "sha256": compute_checksum(record)})

    def reject(self, line: Line, reason: str, now: str) -> None:
        """Move a line to the rejected lines, with the reason."""
        text = line.text.decode("utf-8", "surrogateescape").rstrip("\n")
        _append(self.rejected, {"rejected": reason, "at": now, "line": text})

    @contextmanager
    def take_segments(self, include_rejected: bool = False) -> Iterator[list[Segment]]:
        """Return the segments to replay, oldest first, and prevent other replays within the context.

        :param include_rejected: also take lines that were rejected before.
        :raises SpoolBusy: if another replay is running.
        """
        if not self.folder.exists():
            yield []
            return
        with self._locked("replay.lock", wait=False):
            self._take(self.current)
            if include_rejected:
                self._take(self.rejected)
            segments = [Segment(path) for path in sorted(self.folder.glob("*.taken"))]
            try:
                yield segments
            finally:
                for segment in segments:
                    segment.close()

    def read_lines(self) -> Iterator[Line]:
        """Yield the lines that a replay would process, without taking them."""
        for path in [*sorted(self.folder.glob("*.taken")), self.current]:
            with suppress(FileNotFoundError):
                yield from Segment(path)

    def find_fault(self) -> str:
        """Return why this process cannot write to the folder; empty if it can."""
        if os.name != "posix":
            return "a spool requires a POSIX system"
        existing = next(path for path in [self.folder, *self.folder.parents] if path.exists())
        if not existing.is_dir():
            return f"{existing} is not a folder"
        return "" if os.access(existing, os.W_OK | os.X_OK) else f"this process may not write to {existing}"

    def _take(self, path: Path) -> None:
        with self._locked("append.lock"):
            if path.exists():
                path.rename(self.folder / f"{time.time_ns():020}.taken")
                _sync_folder(self.folder)

    @contextmanager
    def _locked(self, name: str, wait: bool = True) -> Iterator[None]:
        descriptor = os.open(self.folder / name, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if not locks.lock(descriptor, locks.LOCK_EX | (0 if wait else locks.LOCK_NB)):
                raise SpoolBusy(f"Another process is replaying {self.folder}.")
            yield
        finally:
            os.close(descriptor)  # This also releases the lock.


def compute_checksum(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _append(path: Path, entry: Mapping[str, Any]) -> None:
    is_new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        # An incomplete line before this one must not become a part of it.
        needs_newline = size and os.pread(descriptor, 1, size - 1) != b"\n"
        try:
            _write(descriptor, (b"\n" if needs_newline else b"") + json.dumps(entry).encode() + b"\n")
        except OSError:
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)
    if is_new:
        _sync_folder(path.parent)


def _write(descriptor: int, text: bytes) -> None:
    while text:
        text = text[os.write(descriptor, text) :]
    os.fsync(descriptor)


def _replace_content(path: Path, text: bytes) -> None:
    new_path = path.with_suffix(".new")
    descriptor = os.open(new_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        _write(descriptor, text)
    finally:
        os.close(descriptor)
    new_path.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Write the folder to the disk; before that, a new file name in it is not on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
