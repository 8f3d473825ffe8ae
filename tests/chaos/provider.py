"""The witness: a provider in a process of its own. It writes an acceptance to disk before it answers.

It greets with ``ready``. A line comes in, ``<delivery> <epoch> <fence> <pid>``; it is appended to the ledger, forced to
disk, and answered with ``accepted``. A *keyed* provider knows idempotency: it answers a repeat of (delivery, epoch)
without accepting it again. A script on its standard input tells it when not to be well; then it may answer
``temporary``. Whatever it is asked, and when, it notes in a file of calls. It ends when its standard input does, that
is, with whoever started it.
"""

import asyncio
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.weather import BROWN, DOWN, SLOW, Spell, Weather, read, written


@dataclass(frozen=True)
class Call:
    """One time that the provider was asked; ``delivery`` is 0 if it ended the connection before hearing which."""

    at: float
    answer: str
    delivery: int


class Provider:
    def __init__(self, path: Path, keyed: bool) -> None:
        self.ledger, self.calls = path.open("a"), calls_of(path).open("a", buffering=1)
        self.keyed = keyed
        self.known: set[str] = set()
        self.weather = Weather()
        # Unbuffered: what has been read ahead would wake nobody.
        self.ear = os.fdopen(sys.stdin.fileno(), "rb", buffering=0)

    def hear(self) -> bool:
        """Take a new script from the standard input; False when that has ended."""
        line = self.ear.readline()
        self.weather = read(line.decode()) if line else self.weather
        return bool(line)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A worker that was killed resets its connection, perhaps in the middle of a line: then it handed nothing over.
        with suppress(ConnectionError):
            if self.weather.now.kind == DOWN:
                self.note("down", "0")
            else:
                writer.write(b"ready\n")
                await self.converse(reader, writer)
        writer.close()

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (line := (await reader.readline()).decode()).endswith("\n"):
            spell = self.weather.now
            if spell.kind == SLOW:
                await asyncio.sleep(spell.measure)
            answer = self.answer(line, spell)
            self.note(answer, line)
            if answer == "down":
                return
            writer.write(f"{answer}\n".encode())

    def answer(self, line: str, spell: Spell) -> str:
        if spell.kind == DOWN:
            return "down"
        if spell.kind == BROWN and random.random() < spell.measure:
            return "temporary"
        self.accept(line)
        return "accepted"

    def accept(self, line: str) -> None:
        key = " ".join(line.split()[:2])
        if self.keyed and key in self.known:
            return
        self.known.add(key)
        self.ledger.write(line)
        self.ledger.flush()
        os.fsync(self.ledger.fileno())

    def note(self, answer: str, line: str) -> None:
        self.calls.write(f"{time.time():.6f} {answer} {line.split()[0]}\n")


def calls_of(ledger: Path) -> Path:
    return ledger.with_name("calls")


class Witness:
    """The provider as whoever started it sees it."""

    def __init__(self, process: subprocess.Popen, ledger: Path) -> None:
        self.process, self.ledger = process, ledger
        self.port = int(process.stdout.readline())

    def foretell(self, *spells: Spell) -> None:
        """From now on it is like this, one spell after the other, and then well again."""
        self.process.stdin.write(written(spells) + "\n")
        self.process.stdin.flush()

    @property
    def down(self) -> bool:
        """Whether anybody has found it down."""
        return any(call.answer == "down" for call in self.calls())

    def calls(self) -> list[Call]:
        lines = [line.split() for line in calls_of(self.ledger).read_text().splitlines()]
        return [Call(float(at), answer, int(delivery)) for at, answer, delivery in lines]


async def run(path: Path, keyed: bool) -> None:
    loop, end = asyncio.get_running_loop(), asyncio.Event()
    provider = Provider(path, keyed)
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    loop.add_reader(provider.ear, lambda: provider.hear() or end.set())
    await end.wait()


@contextmanager
def provider(path: Path, keyed: bool = False) -> Iterator[Witness]:
    """Run one, with its ledger at ``path``."""
    command = [sys.executable, "-m", "tests.chaos.provider", str(path), "keyed" if keyed else "plain"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Witness(process, path)
    finally:
        process.stdin.close()
        process.wait(timeout=10)
        process.stdout.close()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), keyed=sys.argv[2] == "keyed"))
