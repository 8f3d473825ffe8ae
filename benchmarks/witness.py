"""The receiving side of alarms: a process that records the time at which it accepts each alarm.

It answers each line, such as ``alarm 17`` or ``crowd 3``, with ``accepted``. The time is ``CLOCK_MONOTONIC``, which all
processes of one machine share. The process ends when its standard input is closed, so it ends with its parent.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

EVERY = 100


class Witness:
    """Records every alarm and every hundredth message of the crowd.

    :param seconds: the time to wait before each answer.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self.file = path.open("a", buffering=1)
        self.seconds = seconds
        self.crowd = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A worker that is killed at the end resets its connection.
        with suppress(ConnectionError):
            while (line := (await reader.readline()).decode()).endswith("\n"):
                if self.seconds:
                    await asyncio.sleep(self.seconds)
                self.accept(line.split())
                writer.write(b"accepted\n")
        writer.close()

    def accept(self, words: list[str]) -> None:
        kind, number = words
        if kind == "crowd":
            self.crowd += 1
            number = str(self.crowd)
        if kind == "alarm" or self.crowd % EVERY == 0:
            self.file.write(f"{kind} {number} {time.monotonic()}\n")


async def run(path: Path, seconds: float) -> None:
    loop, end = asyncio.get_running_loop(), asyncio.Event()
    server = await asyncio.start_server(Witness(path, seconds).serve, "127.0.0.1", 0, backlog=100)
    print(server.sockets[0].getsockname()[1], flush=True)
    loop.add_reader(sys.stdin.fileno(), end.set)
    await end.wait()


class Testimony:
    """The records of a witness."""

    def __init__(self, path: Path, port: int) -> None:
        self.path, self.port = path, port

    def accepted(self, kind: str) -> dict[int, float]:
        """Return when each message of a kind was accepted, by its number."""
        lines = [line.split() for line in self.path.read_text().splitlines() if line.count(" ") == 2]
        return {int(number): float(at) for name, number, at in lines if name == kind}


@contextmanager
def witness(path: Path, seconds: float = 0) -> Iterator[Testimony]:
    """Run a witness that writes to this file."""
    path.touch()
    command = [sys.executable, "-m", "benchmarks.witness", str(path), str(seconds)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Testimony(path, int(process.stdout.readline()))
    finally:
        process.stdin.close()
        process.wait(timeout=10)
        process.stdout.close()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), float(sys.argv[2])))
