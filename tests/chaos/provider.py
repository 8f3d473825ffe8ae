"""The witness: a provider in a process of its own. It writes an acceptance to disk before it answers.

It has four doors, which share one ledger. At the *line* door it greets with ``ready``; a line comes in, ``<delivery>
<epoch> <fence> <pid>``; it is appended to the ledger, forced to disk, and answered with ``accepted``. At the *first*
and the *second* door it speaks SMTP, as if they were two providers; there that line stands in the header of each mail.
At the *hook* door it is an endpoint of webhooks, which ignores an id that it has seen. A *keyed* provider knows
idempotency: it answers a repeat of (delivery, epoch) without accepting it again.

A script on its standard input tells it when not to be well, and in which way; the second door is always well. Whatever
it is asked, when and at which door, it notes in a file of calls. It ends when its standard input does, that is, with
whoever started it.
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

from tests.chaos import http, smtp
from tests.chaos.weather import BROWN, DOWN, GONE, SILENT, SLOW, Spell, Weather, read, written
from tests.ports import find_free_port

LINE, FIRST, SECOND, HOOK = "line", "first", "second", "hook"
LOOKS_EVERY = 0.05


@dataclass(frozen=True)
class Call:
    """One time that the provider was asked; ``delivery`` is 0 if it ended the connection before hearing which."""

    at: float
    answer: str
    delivery: int
    door: str


class Provider:
    def __init__(self, path: Path, keyed: bool) -> None:
        self.ledger, self.calls = path.open("a"), calls_of(path).open("a", buffering=1)
        self.keyed = keyed
        self.known: set[str] = set()
        self.weather = Weather()
        self.accepted = 0
        # Unbuffered: what has been read ahead would wake nobody.
        self.ear = os.fdopen(sys.stdin.fileno(), "rb", buffering=0)

    def hear(self) -> bool:
        """Take a new script from the standard input; False when that has ended."""
        line = self.ear.readline()
        if line:
            self.weather, self.accepted = read(line.decode()), 0
        return bool(line)

    def answer(self, line: str, spell: Spell) -> str:
        if spell.kind in (DOWN, GONE):
            return "down"
        if spell.kind == BROWN and random.random() < spell.measure:
            return "temporary"
        self.accept(line)
        return "accepted"

    def accept(self, line: str) -> None:
        key = " ".join(line.split()[:2])
        self.accepted += 1
        if self.keyed and key in self.known:
            return
        self.known.add(key)
        self.ledger.write(line)
        self.ledger.flush()
        os.fsync(self.ledger.fileno())

    def note(self, answer: str, line: str, door: str) -> None:
        self.calls.write(f"{time.time():.6f} {answer} {line.split()[0]} {door}\n")


class Door:
    """Where the provider can be asked."""

    def __init__(self, provider: Provider, name: str) -> None:
        self.provider, self.name = provider, name
        self.port = find_free_port()
        self.known: set[str] = set()

    @property
    def spell(self) -> Spell:
        return Weather().now if self.name == SECOND else self.provider.weather.now

    async def stay_open(self, server: asyncio.Server) -> None:
        """Listen, but not while it is *gone*; always on the same port."""
        while True:
            await asyncio.sleep(LOOKS_EVERY)
            if self.spell.kind == GONE:
                server.close()
            elif not server.is_serving():
                server = await self.open()

    async def open(self) -> asyncio.Server:
        return await asyncio.start_server(self.serve, "127.0.0.1", self.port, backlog=1000)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A worker that was killed resets its connection, perhaps in the middle of a line: then it handed nothing over.
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await self.be_silent(reader)
            if self.spell.kind in (DOWN, GONE):
                self.provider.note("down", "0", self.name)
            else:
                speak = {LINE: self.converse, HOOK: self.converse_in_http}.get(self.name, self.converse_in_smtp)
                await speak(reader, writer)
        writer.close()

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"ready\n")
        while (line := (await reader.readline()).decode()).endswith("\n"):
            await self.be_silent(reader)
            if (answer := await self.take(line)) == "down":
                return
            writer.write(f"{answer}\n".encode())

    async def converse_in_smtp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await smtp.converse(reader, writer, self.take, self.be_silent)

    async def converse_in_http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def repeat(line: str) -> None:
            self.provider.note("repeated", line, self.name)

        await http.converse(reader, writer, self.take, repeat, self.be_silent, self.known)

    async def take(self, line: str) -> str:
        """The answer to one message, in a word."""
        spell = self.spell
        if spell.kind == SLOW:
            await asyncio.sleep(spell.measure)
        answer = self.provider.answer(line, spell)
        self.provider.note(answer, line, self.name)
        return answer

    async def be_silent(self, reader: asyncio.StreamReader) -> None:
        """If silence has come, say nothing more on this connection, whatever comes later, until the client ends it.

        :raises ConnectionResetError: once it has.
        """
        spell = self.spell
        if spell.kind == SILENT and self.provider.accepted >= spell.measure:
            self.provider.note("silent", "0", self.name)
            await reader.read()
            raise ConnectionResetError


def calls_of(ledger: Path) -> Path:
    return ledger.with_name("calls")


class Witness:
    """The provider as whoever started it sees it; ``port``, ``first``, ``second`` and ``hook`` are its doors' ports."""

    def __init__(self, process: subprocess.Popen, ledger: Path) -> None:
        self.process, self.ledger = process, ledger
        self.port, self.first, self.second, self.hook = map(int, process.stdout.readline().split())

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
        return [Call(float(at), answer, int(delivery), door) for at, answer, delivery, door in lines]


async def run(path: Path, keyed: bool) -> None:
    loop, end = asyncio.get_running_loop(), asyncio.Event()
    provider = Provider(path, keyed)
    doors = [Door(provider, name) for name in (LINE, FIRST, SECOND, HOOK)]
    tasks = [loop.create_task(door.stay_open(await door.open())) for door in doors]
    print(*(door.port for door in doors), flush=True)
    loop.add_reader(provider.ear, lambda: provider.hear() or end.set())
    await end.wait()
    for task in tasks:
        task.cancel()


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
