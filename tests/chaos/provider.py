"""The witness: a provider in a process of its own. It writes an acceptance to disk before it answers.

A line comes in, ``<delivery> <epoch> <fence> <pid>``; it is appended to the ledger, forced to disk, and answered with
``accepted``. A *keyed* provider knows idempotency: it answers a repeat of (delivery, epoch) without accepting it again.
It ends when its standard input does, that is, with whoever started it.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class Provider:
    def __init__(self, path: Path, keyed: bool) -> None:
        self.file = path.open("a")
        self.keyed = keyed
        self.known: set[str] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A worker that was killed resets its connection, perhaps in the middle of a line: then it handed nothing over.
        with suppress(ConnectionError):
            while (line := (await reader.readline()).decode()).endswith("\n"):
                self.accept(line)
                writer.write(b"accepted\n")
        writer.close()

    def accept(self, line: str) -> None:
        key = " ".join(line.split()[:2])
        if self.keyed and key in self.known:
            return
        self.known.add(key)
        self.file.write(line)
        self.file.flush()
        os.fsync(self.file.fileno())


async def run(path: Path, keyed: bool) -> None:
    loop, end = asyncio.get_running_loop(), asyncio.Event()
    server = await asyncio.start_server(Provider(path, keyed).serve, "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    loop.add_reader(sys.stdin.fileno(), end.set)
    await end.wait()


@contextmanager
def provider(path: Path, keyed: bool = False) -> Iterator[int]:
    """Run one; yields its port."""
    command = [sys.executable, "-m", "tests.chaos.provider", str(path), "keyed" if keyed else "plain"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait(timeout=10)
        process.stdout.close()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), keyed=sys.argv[2] == "keyed"))
