"""All faults on one database, in one process: ``python -m tests.chaos.stage sqlite|postgres``.

It prints one line of JSON for each row of the table; what it is doing goes to standard error.
"""

import argparse
import dataclasses
import json
import os
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import django

from tests.chaos.figures import Figures
from tests.ground import ground


@contextmanager
def stage(database: str) -> Iterator[Path]:
    """A folder and a fresh database of its own, with Django ready to fork; both are gone afterwards."""
    with ground(database, "tests.chaos.settings") as folder:
        template = Path(os.environ.get("CHAOS_TEMPLATE", "")) if database == "sqlite" else Path()
        is_prepared = template.is_file()
        if is_prepared:
            shutil.copy(template, os.environ["KLAXON_DATABASE_NAME"])
        django.setup()
        if not is_prepared:
            prepare()
            keep_as(template)
        yield folder


def keep_as(template: Path) -> None:
    """Let the next stage begin with a copy of this SQLite database: to make it takes longer than many a story."""
    if template.name:
        copy = template.with_suffix(f".{os.getpid()}")
        shutil.copy(os.environ["KLAXON_DATABASE_NAME"], copy)
        copy.replace(template)


def prepare() -> None:
    from django.core.management import call_command
    from django.db import connections

    from tests.chaos import history

    call_command("migrate", verbosity=0)
    history.keep()
    connections.close_all()


def play(folder: Path, only: set[str], fast: bool, share: str) -> Iterator[Figures]:
    """Play each chosen fault on a scene of its own.

    :param share: of three shares, ``0/3`` is every third fault, from the first on. ``alone`` is those that run while no
        other one does; the shares do not contain them. An empty share is all faults.
    """
    from tests.chaos.faults import programme

    alone = {"": None, "alone": True}.get(share, False)
    first, step = map(int, share.split("/")) if "/" in share else (0, 1)
    for act in list(programme.chosen(only, os.environ["KLAXON_TEST_DB"], alone))[first::step]:
        name = act.story.__name__
        print(f"{os.environ['KLAXON_TEST_DB']}: {act.number} {name} {act.lie}…", file=sys.stderr, flush=True)
        yield perform(act.story, folder / f"{act.number}-{name}", fast, act.keyed, act.lie)


def perform(
    story: Callable[[Any], Figures], place: Path, fast: bool = False, keyed: bool = False, lie: str = ""
) -> Figures:
    """One story, with the time that it took, and what there is to say if it ends badly."""
    from tests.chaos.scene import scene

    began = time.monotonic()
    with scene(place, fast, keyed, lie) as here:
        figures = story(here)
        figures.seconds = round(time.monotonic() - began, 1)
        figures.fault = f"0 {lie}: {figures.fault}" if lie else figures.fault
        if not figures.held:
            figures.evidence.append(here.last_words())
    return figures


def ending_in_order() -> None:
    """Asked to end, a process still ends its children and its server."""
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database", choices=("sqlite", "postgres"))
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--only", default="", help="numbers of faults, or names of lies, with commas between them")
    parser.add_argument("--share", default="", help="0/3 is the first of three; alone is those that run by themselves")
    options = parser.parse_args()
    ending_in_order()
    only = {number for number in options.only.split(",") if number}
    with stage(options.database) as folder:
        for figures in play(folder, only, options.fast, options.share):
            print(json.dumps(dataclasses.asdict(figures)), flush=True)


if __name__ == "__main__":
    main()
