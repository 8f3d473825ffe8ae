"""What the children did, in a file that outlives them: one line for each fact, appended in one write."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Fact:
    """``pairs`` are (delivery id, fence)."""

    kind: str
    pid: int
    pairs: tuple[tuple[int, int], ...]


class Journal:
    """Appending needs no lock: a short write to a file opened for appending is never torn."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.path.touch()

    def write(self, kind: str, pairs: Iterable[tuple[int, int]] = ()) -> None:
        self._append(f"{kind} {os.getpid()} {' '.join(f'{pk}:{fence}' for pk, fence in pairs)}")

    def note_death(self, pid: int) -> None:
        """Of a child, by its parent: what it still held may now be taken."""
        self._append(f"ended {pid}")

    def _append(self, line: str) -> None:
        with self.path.open("ab", buffering=0) as file:
            file.write(f"{line}\n".encode())

    def facts(self, kind: str) -> Iterator[Fact]:
        for line in self.path.read_text().splitlines():
            word, pid, *pairs = line.split()
            if word == kind:
                yield Fact(word, int(pid), tuple(_pair(text) for text in pairs))


def _pair(text: str) -> tuple[int, int]:
    pk, fence = text.split(":")
    return int(pk), int(fence)
