"""``python -m benchmarks [name …]``: run every benchmark on every database and print a table of the results.

The exit status is 1 if a benchmark fails, or if a figure of a full run misses its target.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from benchmarks.figures import Figures
from benchmarks.table import markdown, row, write

# Only by name, because they fill the disk with gigabytes.
BY_NAME = ("admin", "retention")
NAMES = (
    "send",
    "latency",
    "claim",
    "noop",
    "mail",
    "render",
    "staff",
    "hostile",
    "counting",
    "replay",
    # Last, because it numbers its rows itself.
    "inbox",
)


def main() -> int:
    options = parse_options()
    began, load = time.monotonic(), os.getloadavg()[0]
    all_figures: list[Figures] = []
    succeeded = True
    # Databases are measured one after the other, because they would slow down each other.
    for database in options.database.split(","):
        child = subprocess.Popen(build_command(options, database), stdout=subprocess.PIPE, text=True)
        all_figures += read_figures(child)
        succeeded &= child.wait() == 0
    print(markdown(all_figures), flush=True)
    if options.write:
        write(Path(options.write), all_figures, describe_run(options.fast, time.monotonic() - began, load))
    reached = options.fast or all(figures.is_met for figures in all_figures)
    return 0 if succeeded and reached else 1


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join((*NAMES, *BY_NAME)))
    parser.add_argument(
        "--fast", action="store_true", help="small numbers and one round, to check that the benchmarks run"
    )
    parser.add_argument("--database", default="postgres,sqlite", help="sqlite, postgres, or both")
    parser.add_argument("--write", help="write the table into this page, between its two markers")
    options = parser.parse_args()
    if unknown := set(options.names) - {*NAMES, *BY_NAME}:
        parser.error(f"unknown benchmark: {', '.join(sorted(unknown))}")
    if "admin" in options.names and len(options.names) > 1:
        parser.error("admin numbers the rows of all tables itself. Run it alone.")
    return options


def build_command(options: argparse.Namespace, database: str) -> list[str]:
    fast = ["--fast"] if options.fast else []
    return [sys.executable, "-m", "benchmarks.stage", database, *(options.names or NAMES), *fast]


def read_figures(child: subprocess.Popen) -> Iterator[Figures]:
    for line in child.stdout:
        figures = Figures(**json.loads(line))
        print(f"  {' | '.join(row(figures))}", file=sys.stderr, flush=True)
        yield figures


def describe_run(fast: bool, seconds: float, load: float) -> str:
    kind = "The small run, whose figures mean nothing" if fast else "The full run"
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, a commit's fdatasync {fdatasync():.1f} ms"
    return (
        f"{kind}, {time.strftime('%Y-%m-%d')}, on {machine}, load {load:.1f} before it began; "
        f"it took {seconds / 60:.0f} minutes."
    )


def fdatasync() -> float:
    """Return the median time of ``fdatasync()`` in milliseconds, which every commit on PostgreSQL takes at least."""
    with tempfile.NamedTemporaryFile() as file:
        return statistics.median(time_sync(file) for _ in range(100)) * 1000


def time_sync(file: IO[bytes]) -> float:
    file.write(b"x" * 8192)
    file.flush()
    began = time.perf_counter()
    os.fdatasync(file.fileno())
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
