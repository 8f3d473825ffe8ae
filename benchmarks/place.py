"""Where a benchmark runs: a folder, a database, one of two sizes, and processes that are measured from outside."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from django.db import connection, connections

from benchmarks.discard import stamps
from benchmarks.processes import running, until
from benchmarks.sink import smtp_sink

# Of what is queued, the part before which nothing is measured, for processes are still warming up, and the part after
# which nothing is, so that none ever runs dry.
FIRST, LAST = 0.25, 0.75


@dataclass
class Place:
    folder: Path
    fast: bool
    turn: int = 0

    @property
    def database(self) -> str:
        return "SQLite" if connection.vendor == "sqlite" else "PostgreSQL"

    def size(self, full: int, fast: int) -> int:
        return fast if self.fast else full

    def file(self, name: str) -> Path:
        return self.folder / f"{name}-{self.turn}"

    def next(self) -> None:
        """Before something else is measured."""
        connections.close_all()
        self.turn += 1

    def logged_per_second(self, queued: int, *module: str, **env: str) -> float:
        """Run a worker on so many tasks that log to the logger that discards."""
        self.next()
        first, last = window(queued)
        path, words = self.file("stamps"), self.file("words")
        with running(words, *module, BENCH_STAMPS=str(path), **env) as process:
            until(lambda: last in stamps(path), process, words)
        seen = stamps(path)
        return (last - first) / (seen[last] - seen[first])

    def mailed_per_second(self, queued: int, processes: int, *module: str, **env: str) -> float:
        """Run so many of a program that send mails, and count what the sink accepts."""
        first, last = window(queued)
        reached = self.mailed({first, last}, processes, *module, **env)
        return (last - first) / (reached[last] - reached[first])

    def mailed(
        self, numbers: set[int], processes: int, *module: str, folder: Path | None = None, **env: str
    ) -> dict[int, float]:
        """When these numbers of mails were accepted, once they all were."""
        self.next()
        with ExitStack() as stack:
            sink = stack.enter_context(smtp_sink(numbers, folder))
            env["BENCH_SMTP_PORT"] = str(sink.port)
            files = [self.file(f"words{number}") for number in range(processes)]
            started = [stack.enter_context(running(words, *module, **env)) for words in files]
            until(lambda: numbers <= set(sink.reached), started[0], files[0])
            return sink.reached


def window(queued: int) -> tuple[int, int]:
    """The first and last that are looked at, in whole hundreds."""
    return round(queued * FIRST, -2), round(queued * LAST, -2)
