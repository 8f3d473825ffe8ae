"""``python -m tests.chaos``: every fault on every database, and a table of what came of it.

Ends with an error if anything was lost, arrived more often than is allowed, or was not zero that must be.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.chaos.figures import Figures
from tests.chaos.table import markdown, write


def main() -> int:
    options = parsed()
    began = time.monotonic()
    all_figures, ended_well = run(options)
    print(markdown(all_figures), flush=True)
    if options.write:
        write(Path(options.write), all_figures, size(options.fast, time.monotonic() - began))
    return 0 if ended_well and all(figures.held for figures in all_figures) else 1


def run(options: argparse.Namespace) -> tuple[list[Figures], bool]:
    """Run the faults that must run alone one after the other, then the rest, which mostly wait, side by side.

    The databases run side by side too, each with two processes, or three in the small run.
    """
    databases = options.database.split(",")
    shares = ("0/3", "1/3", "2/3") if options.fast else ("0/2", "1/2")
    turns = [[command(options, database, "alone")] for database in databases]
    turns.append([command(options, database, share) for database in databases for share in shares])
    all_figures, ended_well = [], True
    for turn in turns:
        children = [subprocess.Popen(one, stdout=subprocess.PIPE, text=True) for one in turn]
        all_figures += [figures for child in children for figures in figures_of(child)]
        statuses = [child.wait() for child in children]
        ended_well &= not any(statuses)
    return all_figures, ended_well


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--fast", action="store_true", help="small numbers: three minutes, for CI")
    parser.add_argument("--only", default="", help="numbers of faults, such as 1,5")
    parser.add_argument("--database", default="sqlite,postgres", help="sqlite, postgres, or both")
    parser.add_argument("--write", help="put the table into this page, between its two markers")
    return parser.parse_args()


def command(options: argparse.Namespace, database: str, share: str) -> list[str]:
    fast = ["--fast"] if options.fast else []
    return [sys.executable, "-m", "tests.chaos.stage", database, "--only", options.only, "--share", share, *fast]


def figures_of(child: subprocess.Popen) -> Iterator[Figures]:
    for line in child.stdout:
        figures = Figures(**json.loads(line))
        tell(figures)
        yield figures


def tell(figures: Figures) -> None:
    verdict = "kept" if figures.held else "BROKEN"
    lives = [] if figures.held else [f"    {words}" for words in figures.evidence]
    wrong = {name: count for name, count in figures.zero.items() if count} or ""
    heading = f"  {figures.database}, {figures.fault}: {verdict} in {figures.seconds} s {wrong}"
    print(heading, *lives, sep="\n", file=sys.stderr, flush=True)


def size(fast: bool, seconds: float) -> str:
    kind = "The small run" if fast else "The full run"
    return f"{kind}, {time.strftime('%Y-%m-%d')}; it took {seconds / 60:.0f} minutes."


if __name__ == "__main__":
    sys.exit(main())
