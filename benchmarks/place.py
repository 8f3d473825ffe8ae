"""The place where a benchmark runs: a folder, a database, a size, and processes that are measured from outside."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from django.db import connection, connections

from benchmarks.discard import read_stamps
from benchmarks.processes import run_process, wait_until
from benchmarks.sink import smtp_sink

# The measured part of the queued deliveries. Before it processes are warming up; after it they could run out of work.
FIRST, LAST = 0.25, 0.75


@dataclass
class Place:
    """The folder of a benchmark and its size; ``turn`` counts the measurements."""

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

    def start_next(self) -> None:
        """Prepare the next measurement."""
        connections.close_all()
        self.turn += 1

    def measure_log_rate(self, queued: int, *module: str, **env: str) -> float:
        """Run a worker and return how many queued tasks it logs per second to the discarding logger."""
        self.start_next()
        first, last = measured_range(queued)
        path, output = self.file("stamps"), self.file("output")
        with run_process(output, *module, BENCH_STAMPS=str(path), **env) as process:
            wait_until(lambda: last in read_stamps(path), process, output)
        seen = read_stamps(path)
        return (last - first) / (seen[last] - seen[first])

    def measure_mail_rate(self, queued: int, processes: int, *module: str, **env: str) -> float:
        """Run this number of processes that send mails and return how many the sink accepts per second."""
        first, last = measured_range(queued)
        reached = self.record_mails({first, last}, processes, *module, **env)
        return (last - first) / (reached[last] - reached[first])

    def record_mails(
        self, numbers: set[int], processes: int, *module: str, folder: Path | None = None, **env: str
    ) -> dict[int, float]:
        """Return when each of these numbers of mails was accepted. Wait until all are reached."""
        self.start_next()
        with ExitStack() as stack:
            sink = stack.enter_context(smtp_sink(numbers, folder))
            env["BENCH_SMTP_PORT"] = str(sink.port)
            files = [self.file(f"output{number}") for number in range(processes)]
            started = [stack.enter_context(run_process(output, *module, **env)) for output in files]
            wait_until(lambda: numbers <= set(sink.reached), started[0], files[0])
            return sink.reached


def measured_range(queued: int) -> tuple[int, int]:
    """Return the first and the last number that is measured, in whole hundreds."""
    return round(queued * FIRST, -2), round(queued * LAST, -2)
