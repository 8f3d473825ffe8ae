"""The archive: gzipped files with one JSON object on each line, each file with a manifest.

======================  ==================================================================================
``<name>.jsonl.gz``     the rows, each as ``{"table": "klaxon.delivery", "row": {column: value}}``
``<name>.json``         the manifest: counts, the SHA-256 of the file, and which rows it contains
``<name>.part``         a file that is being written, or whose writer has died; the next run removes it
``archive.lock``        locked while a process writes or changes files
======================  ==================================================================================

A file counts only if its manifest exists, which is written last. If there is an archive, a purge deletes only the rows
that a manifest names.
"""

import gzip
import hashlib
import json
import os
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from django.core.files import locks
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from notifications import conf
from notifications.exceptions import KlaxonError

DATA, MANIFEST, PART = ".jsonl.gz", ".json", ".part"
LOCK = "archive.lock"
VERSION = 1
SETTING = "NOTIFICATIONS['RETENTION']['ARCHIVE_DIR']"
encode = DjangoJSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class ArchiveDamaged(KlaxonError):
    """A file of the archive or its manifest is missing, cannot be read, or was changed."""


class ArchiveBusy(KlaxonError):
    """Another process is writing or changing files of the archive."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let no other process write or change files of the archive.

    :raises ArchiveBusy: if one does already.
    :raises OSError: if the file of the lock cannot be opened.
    """
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not locks.lock(descriptor, locks.LOCK_EX | locks.LOCK_NB):
            raise ArchiveBusy(
                f"Another process, such as archive_notifications or erase_person, is changing the archive {folder}. "
                "Run the command again when it has ended."
            )
        yield
    finally:
        os.close(descriptor)  # This also releases the lock.


@dataclass
class Ranges:
    """A set of integers as sorted ranges, which takes little memory for integers that follow each other."""

    begins: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    def add(self, number: int) -> None:
        """Add a number that is higher than all before."""
        if self.ends and self.ends[-1] + 1 == number:
            self.ends[-1] = number
        else:
            self.begins.append(number)
            self.ends.append(number)

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self.begins, number) - 1
        return at >= 0 and number <= self.ends[at]

    def to_list(self) -> list[list[int]]:
        return [list(pair) for pair in zip(self.begins, self.ends, strict=True)]


@dataclass
class Archive:
    """Which rows are archived."""

    folder: Path
    ranges: dict[str, list[Ranges]] = field(default_factory=dict)

    def contains(self, table: str, pk: int) -> bool:
        """Return whether a row is in the archive.

        :param table: such as ``"klaxon.delivery"``.
        """
        return any(pk in ranges for ranges in self.ranges.get(table, ()))

    def load(self, manifest: dict[str, Any]) -> None:
        """
        :param manifest: what :func:`read_manifest` has returned.
        """
        for table, pairs in manifest["ranges"].items():
            begins, ends = zip(*pairs, strict=True) if pairs else ((), ())
            self.ranges.setdefault(table, []).append(Ranges([*begins], [*ends]))


def get_folder() -> Path | None:
    """Return the folder of the archive, or None if there is none."""
    configured = str(conf.current().get_retention("ARCHIVE_DIR"))
    return Path(configured) if configured else None


def find_fault() -> str:
    """Return a sentence that says why the archive cannot be used, or ``""`` if it can or there is none."""
    folder = get_folder()
    if folder is None:
        return ""
    if not folder.is_dir():
        return f"There is no folder {folder}."
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return f"This process may not read and write in {folder}."
    return ""


def open_archive() -> Archive | None:
    """Return what is archived, by the manifests; None if the site has no archive.

    :raises ArchiveDamaged: if a manifest cannot be read, or its file is missing.
    """
    folder = get_folder()
    if folder is None:
        return None
    archive = Archive(folder)
    for path in list_manifests(folder):
        archive.load(read_manifest(path))
    return archive


def list_manifests(folder: Path) -> list[Path]:
    """Return the manifests, the oldest first."""
    return sorted(folder.glob(f"*{MANIFEST}"))


def read_manifest(path: Path) -> dict[str, Any]:
    """
    :raises ArchiveDamaged: if it cannot be read, or its file is missing.
    """
    manifest, data = _parse_manifest(path)
    if not data.is_file():
        if _parse_manifest(path)[1] != data:
            # Another process has just replaced both, to erase a person.
            return read_manifest(path)
        raise ArchiveDamaged(f"The file {data} of the manifest {path} is missing. Restore it, or delete the manifest.")
    return manifest


def _parse_manifest(path: Path) -> tuple[dict[str, Any], Path]:
    try:
        manifest: dict[str, Any] = json.loads(path.read_text("utf-8"))
        data = path.parent / manifest["file"]
        _pairs = [(first + 0, last + 0) for pairs in manifest["ranges"].values() for first, last in pairs]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ArchiveDamaged(f"The manifest {path} cannot be read: {error!r:.200}") from error
    return manifest, data


def hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Writer:
    """Writes one file of the archive. It appears in the folder when it is complete, and its manifest after it."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.counts: Counter[str] = Counter()
        self.ranges: dict[str, Ranges] = {}
        self._part = folder / f"{name}{PART}"
        self._file: BinaryIO = os.fdopen(os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        # Without a time in the header, equal rows make equal files.
        self._gzip = gzip.GzipFile("", "wb", 6, self._file, mtime=0)

    def write_rows(self, rows: models.QuerySet[Any], in_ranges: bool = False, without: Iterable[str] = ()) -> None:
        """Write rows of one model.

        :param in_ranges: whether the manifest lists their keys, which must increase from call to call.
        :param without: columns to leave out.
        """
        table = rows.model._meta.label_lower
        names = [item.attname for item in rows.model._meta.concrete_fields if item.attname not in without]
        for row in rows.order_by("pk").values(*names):
            self.write_line({"table": table, "row": row})
            if in_ranges:
                self.ranges.setdefault(table, Ranges()).add(row[rows.model._meta.pk.attname])

    def write_line(self, line: dict[str, Any]) -> None:
        self._gzip.write(f"{encode(line)}\n".encode())
        self.counts[line["table"]] += 1

    def finish(
        self, now: datetime, ranges: dict[str, list[list[int]]] | None = None, manifest_path: Path | None = None
    ) -> Path:
        """Make the file and its manifest durable and visible; return the path of the manifest.

        :param manifest_path: the manifest to replace.
        """
        self._gzip.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        data = self._part.rename(self.folder / f"{self.name}{DATA}")
        manifest = {
            "version": VERSION,
            "file": data.name,
            "written_at": now.isoformat(),
            "bytes": data.stat().st_size,
            "sha256": hash_file(data),
            "counts": dict(self.counts),
            "ranges": ranges or {table: item.to_list() for table, item in self.ranges.items()},
        }
        path = manifest_path or self.folder / f"{self.name}{MANIFEST}"
        write_durably(path, json.dumps(manifest, indent=1))
        return path

    def abandon(self) -> None:
        """Remove the unfinished file."""
        with suppress(OSError):
            self._gzip.close()
        with suppress(OSError):
            self._file.close()
        self._part.unlink(missing_ok=True)


def write_durably(path: Path, text: str) -> None:
    """Replace a file by a new one. After a power failure, there is either the old or the new one."""
    part = path.with_suffix(f"{path.suffix}{PART}")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renamed and deleted names durable, where the system can."""
    if hasattr(os, "O_DIRECTORY"):
        number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a file of the archive.

    :raises ArchiveDamaged: if it cannot be read to its end.
    """
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            yield from map(json.loads, file)
    except (OSError, EOFError, ValueError) as error:
        raise ArchiveDamaged(f"The file {path} of the archive cannot be read: {error!r:.200}") from error


Change = Callable[[dict[str, Any]], dict[str, Any] | None]
"""Returns a line as it should be, or None if it should not be in the file."""


def rewrite(manifest_path: Path, change: Change, now: datetime) -> int:
    """Write a file of the archive anew with changed lines, if any changes; return how many have changed.

    There is always a complete file: the new manifest replaces the old one, and then the old file is deleted.

    :raises ArchiveDamaged: if the file cannot be read, or is not the one of the manifest.
    """
    manifest = read_manifest(manifest_path)
    folder, old = manifest_path.parent, manifest_path.parent / manifest["file"]
    if hash_file(old) != manifest["sha256"]:
        raise ArchiveDamaged(f"The file {old} was changed: it does not have the SHA-256 of {manifest_path.name}.")
    if not (changed := sum(change(line) != line for line in read_lines(old))):
        return 0
    base = manifest_path.stem
    number = 1 + int(old.name.removesuffix(DATA).removeprefix(base).removeprefix("-") or 0)
    writer = Writer(folder, f"{base}-{number}")
    try:
        for line in read_lines(old):
            if (new := change(line)) is not None:
                writer.write_line(new)
        writer.finish(now, manifest["ranges"], manifest_path)
    except BaseException:
        writer.abandon()
        raise
    old.unlink()
    sync_folder(folder)
    return changed


def find_unlisted(folder: Path) -> list[Path]:
    """Return the files that no manifest names, such as those of an interrupted run."""
    listed = {read_manifest(path)["file"] for path in list_manifests(folder)}
    files = [*folder.glob(f"*{DATA}"), *folder.glob(f"*{PART}")]
    return sorted(path for path in files if path.name not in listed)
