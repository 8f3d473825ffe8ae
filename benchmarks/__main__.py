"""``python -m benchmarks [name …]``: every benchmark on every database, and a table of what came of it.

Ends with an error if a figure of a full run is not what it must be.
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

NAMES = ("send", "latency", "claim", "noop", "mail")


def main() -> int:
    options = parsed()
    began, busy = time.monotonic(), os.getloadavg()[0]
    all_figures: list[Figures] = []
    ended_well = True
    # One database after the other, or they would measure each other.
    for database in options.database.split(","):
        child = subprocess.Popen(command(options, database), stdout=subprocess.PIPE, text=True)
        all_figures += figures_of(child)
        ended_well &= child.wait() == 0
    print(markdown(all_figures), flush=True)
    if options.write:
        write(Path(options.write), all_figures, size(options.fast, time.monotonic() - began, busy))
    reached = options.fast or all(figures.held for figures in all_figures)
    return 0 if ended_well and reached else 1


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(NAMES))
    parser.add_argument("--fast", action="store_true", help="small numbers, one round: shows that it runs, no more")
    parser.add_argument("--database", default="postgres,sqlite", help="sqlite, postgres, or both")
    parser.add_argument("--write", help="put the table into this page, between its two markers")
    options = parser.parse_args()
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    return options


def command(options: argparse.Namespace, database: str) -> list[str]:
    fast = ["--fast"] if options.fast else []
    return [sys.executable, "-m", "benchmarks.stage", database, *(options.names or NAMES), *fast]


def figures_of(child: subprocess.Popen) -> Iterator[Figures]:
    for line in child.stdout:
        figures = Figures(**json.loads(line))
        print(f"  {' | '.join(row(figures))}", file=sys.stderr, flush=True)
        yield figures


def size(fast: bool, seconds: float, busy: float) -> str:
    kind = "The small run, which proves nothing" if fast else "The full run"
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, a commit's fdatasync {fdatasync():.1f} ms"
    return (
        f"{kind}, {time.strftime('%Y-%m-%d')}, on {machine}, load {busy:.1f} before it began; "
        f"it took {seconds / 60:.0f} minutes."
    )


def fdatasync() -> float:
    """Milliseconds, the median of some: what every commit on PostgreSQL costs at least."""
    with tempfile.NamedTemporaryFile() as file:
        return statistics.median(timed_sync(file) for _ in range(100)) * 1000


def timed_sync(file: IO[bytes]) -> float:
    file.write(b"x" * 8192)
    file.flush()
    began = time.perf_counter()
    os.fdatasync(file.fileno())
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
