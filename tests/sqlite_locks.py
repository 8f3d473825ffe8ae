"""Who holds SQLite's only write lock.

A process that is frozen inside a transaction takes everybody's lock with it into its sleep. That is a trouble of the
database, like a backup that takes its time, and not the fault that is being tried; so it must be told apart.
"""

from collections.abc import Iterator
from pathlib import Path

LOCKS = Path("/proc/locks")
# In a database with a write-ahead log the writer locks this byte of the shared index (wal.c, WAL_WRITE_LOCK).
BYTE = 120


def writer(database: Path) -> int | None:
    """The process that is writing to a database, or None; None too where the system does not tell."""
    index = database.with_name(f"{database.name}-shm")
    if not (LOCKS.exists() and index.exists()):
        return None
    inode = index.stat().st_ino
    return next((pid for pid, of, first, last in _write_locks() if of == inode and first <= BYTE <= last), None)


def _write_locks() -> Iterator[tuple[int, int, int, float]]:
    """Process, inode, first and last byte of each."""
    for line in LOCKS.read_text().splitlines():
        words = line.split()
        if len(words) == 8 and words[3] == "WRITE":
            pid, place, first, last = words[4:]
            yield int(pid), int(place.split(":")[-1]), int(first), float("inf") if last == "EOF" else int(last)


def is_stopped(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state in ("T", "t")
