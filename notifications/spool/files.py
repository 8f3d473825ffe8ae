"""The spool: files on this machine that keep what could not be written to the database.

Whatever is appended is on the disk before :meth:`Spool.append` returns: one line of JSON with a checksum. Replaying
takes the file away from those who append, goes through it, and keeps what it could not finish.

========================  ======================================================
``sends.spool``           appended to
``<time>.taken``          taken by a replay, and not finished yet
``sends.rejected``        lines that cannot be replayed, each with the reason
``append.lock`` …         held while somebody writes; while somebody replays
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
    """A line as it stands in a file, from ``begin`` up to ``end`` (in bytes)."""

    text: bytes
    begin: int
    end: int

    @property
    def is_torn(self) -> bool:
        """Its writer died while it appended. Nobody was told that it was kept."""
        return not self.text.endswith(b"\n") and not self._is_whole()

    def record(self) -> dict[str, Any]:
        """What was appended.

        :raises SpoolDamaged: if it is not what was written.
        """
        try:
            found = json.loads(self.text)
            if "rejected" in found:
                return Line(found["line"].encode("utf-8", "surrogateescape"), 0, 0).record()
            record, told = found["send"], found["sha256"]
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise SpoolDamaged("It is no line of a spool.") from error
        if checksum(record) != told:
            raise SpoolDamaged("Its checksum is wrong.")
        return record

    def _is_whole(self) -> bool:
        try:
            return bool(self.record())
        except SpoolDamaged:
            return False


class Segment:
    """A file that was taken to be replayed. In the end it is removed, or keeps what was not come to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done = 0

    def __iter__(self) -> Iterator[Line]:
        begin = 0
        with self.path.open("rb") as file:
            for text in file:
                end = begin + len(text)
                yield Line(text, begin, end)
                begin = end

    def close(self) -> None:
        with self.path.open("rb") as file:
            file.seek(self.done)
            rest = file.read()
        if not rest:
            self.path.unlink()
        elif self.done:
            _write_anew(self.path, rest)


class Spool:
    """The files in one folder. Several processes may use it at the same time."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.current = self.folder / "sends.spool"
        self.rejected = self.folder / "sends.rejected"

    def append(self, record: Mapping[str, Any]) -> None:
        """Keep a record; when this returns it is on the disk.

        :raises OSError: if it cannot be kept; then nothing of it is.
        """
        if not self.folder.exists():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _sync_folder(self.folder.parent)
        with self._held("append.lock"):
            _append(self.current, {"send": record, "sha256": checksum(record)})

    def reject(self, line: Line, reason: str, now: str) -> None:
        """Put a line aside, with the reason."""
        text = line.text.decode("utf-8", "surrogateescape").rstrip("\n")
        _append(self.rejected, {"rejected": reason, "at": now, "line": text})

    @contextmanager
    def replaying(self, again: bool = False) -> Iterator[list[Segment]]:
        """What there is to replay, the oldest first; nobody else replays meanwhile.

        :param again: also what was rejected before.
        :raises SpoolBusy: if another replay is running.
        """
        if not self.folder.exists():
            yield []
            return
        with self._held("replay.lock", wait=False):
            self._take(self.current)
            if again:
                self._take(self.rejected)
            segments = [Segment(path) for path in sorted(self.folder.glob("*.taken"))]
            try:
                yield segments
            finally:
                for segment in segments:
                    segment.close()

    def waiting(self) -> Iterator[Line]:
        """Every line that a replay would come to, read without taking it."""
        for path in [*sorted(self.folder.glob("*.taken")), self.current]:
            with suppress(FileNotFoundError):
                yield from Segment(path)

    def fault(self) -> str:
        """Why nothing can be kept here, or nothing."""
        if os.name != "posix":
            return "a spool needs a POSIX system"
        there = next(path for path in [self.folder, *self.folder.parents] if path.exists())
        if not there.is_dir():
            return f"{there} is no folder"
        return "" if os.access(there, os.W_OK | os.X_OK) else f"this process may not write to {there}"

    def _take(self, path: Path) -> None:
        with self._held("append.lock"):
            if path.exists():
                path.rename(self.folder / f"{time.time_ns():020}.taken")
                _sync_folder(self.folder)

    @contextmanager
    def _held(self, name: str, wait: bool = True) -> Iterator[None]:
        descriptor = os.open(self.folder / name, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if not locks.lock(descriptor, locks.LOCK_EX | (0 if wait else locks.LOCK_NB)):
                raise SpoolBusy(f"Somebody else is replaying {self.folder}.")
            yield
        finally:
            os.close(descriptor)  # and the lock with it


def checksum(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _append(path: Path, entry: Mapping[str, Any]) -> None:
    is_new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        # What somebody before left torn must not swallow this line.
        torn = size and os.pread(descriptor, 1, size - 1) != b"\n"
        try:
            _write(descriptor, (b"\n" if torn else b"") + json.dumps(entry).encode() + b"\n")
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


def _write_anew(path: Path, text: bytes) -> None:
    other = path.with_suffix(".new")
    descriptor = os.open(other, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        _write(descriptor, text)
    finally:
        os.close(descriptor)
    other.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """A new name is on the disk only when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
