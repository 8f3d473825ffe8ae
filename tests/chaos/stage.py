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
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import django


@contextmanager
def stage(database: str) -> Iterator[Path]:
    """A folder and a fresh database of its own, with Django ready to fork; both are gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="klaxon-chaos-"))
    folder.chmod(0o755)
    os.environ |= {"DJANGO_SETTINGS_MODULE": "tests.chaos.settings", "KLAXON_TEST_DB": database}
    try:
        with postgres(folder / "pg") if database == "postgres" else sqlite(folder):
            django.setup()
            prepare()
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def sqlite(folder: Path) -> Iterator[None]:
    os.environ["KLAXON_DATABASE_NAME"] = str(folder / "chaos.sqlite3")
    yield


@contextmanager
def postgres(folder: Path) -> Iterator[None]:
    """A server that this run may restart as roughly as it likes."""
    from tests.chaos.postgres import Server

    server = Server(folder)
    os.environ.pop("KLAXON_DATABASE_NAME", None)
    os.environ["KLAXON_POSTGRES"] = server.uri
    try:
        yield
    finally:
        server.stop()


def prepare() -> None:
    from django.core.management import call_command
    from django.db import connections

    from tests.chaos import history

    call_command("migrate", verbosity=0)
    history.keep()
    connections.close_all()


def play(folder: Path, only: set[str], fast: bool) -> Iterator[Any]:
    """Each chosen fault, on a scene of its own."""
    from tests.chaos.faults import programme
    from tests.chaos.scene import scene

    for number, story, keyed, lie in programme.chosen(only, os.environ["KLAXON_TEST_DB"]):
        began = time.monotonic()
        print(f"{os.environ['KLAXON_TEST_DB']}: {number} {story.__name__} {lie}…", file=sys.stderr, flush=True)
        with scene(folder / f"{number}-{story.__name__}", fast, keyed, lie) as here:
            figures = story(here)
            figures.fault = f"0 {lie}: {figures.fault}" if lie else figures.fault
            figures.seconds = round(time.monotonic() - began, 1)
            if not figures.held:
                figures.evidence.append(here.last_words())
            yield figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database", choices=("sqlite", "postgres"))
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--only", default="", help="numbers of faults, with commas between them")
    options = parser.parse_args()
    # Asked to end, it still ends its children and its server.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    only = {number for number in options.only.split(",") if number}
    with stage(options.database) as folder:
        for figures in play(folder, only, options.fast):
            print(json.dumps(dataclasses.asdict(figures)), flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
