"""``python -m tests.chaos.soak --minutes 30 --rate 1000``: one worker, for long, through one trouble after the other.

Ends with an error if anything was lost or sent too often, or if the worker's memory or its open files grow.
"""

import argparse
import dataclasses
import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from tests.chaos.__main__ import figures_of
from tests.chaos.figures import Figures
from tests.chaos.stage import ending_in_order, perform, stage
from tests.chaos.table import SOAK, markdown, write

LONG_ENOUGH = 10
MOST_GROWTH, MOST_GROWTH_AT_FIRST = 100.0, 6000.0


def main() -> int:
    options = parsed()
    if options.on:
        on_one_database(options)
        return 0
    all_figures, ended_well = on_each_database(options)
    print(markdown(all_figures), flush=True)
    if options.write:
        write(Path(options.write), all_figures, f"{time.strftime('%Y-%m-%d')}.", SOAK)
    return 0 if ended_well and all(figures.held for figures in all_figures) else 1


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rate", type=float, default=1000, help="sends a minute")
    parser.add_argument("--growth", type=float, help="the most kilobytes a minute; less is asked of a short run")
    parser.add_argument("--database", default="sqlite,postgres", help="sqlite, postgres, or both, together")
    parser.add_argument("--write", help="put the table into this page, between its two markers")
    parser.add_argument("--lie", default="", help="break the worker's engine in this way")
    parser.add_argument("--on", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.growth is None:
        # A process that has just begun fills its caches.
        options.growth = MOST_GROWTH if options.minutes >= LONG_ENOUGH else MOST_GROWTH_AT_FIRST
    return options


def on_each_database(options: argparse.Namespace) -> tuple[list[Figures], bool]:
    numbers = ["--minutes", str(options.minutes), "--rate", str(options.rate), "--growth", str(options.growth)]
    command = [sys.executable, "-m", "tests.chaos.soak", *numbers, "--lie", options.lie]
    children = [
        subprocess.Popen([*command, "--on", database], stdout=subprocess.PIPE, text=True)
        for database in options.database.split(",")
    ]
    all_figures = [figures for child in children for figures in figures_of(child)]
    endings = [child.wait() for child in children]
    return all_figures, not any(endings)


def on_one_database(options: argparse.Namespace) -> None:
    ending_in_order()
    with stage(options.on) as folder:
        from tests.chaos.faults.wear import soak

        story = partial(soak, options.minutes, options.rate, options.growth)
        figures = perform(story, folder / "soak", lie=options.lie)
        print(json.dumps(dataclasses.asdict(figures)), flush=True)


if __name__ == "__main__":
    sys.exit(main())
