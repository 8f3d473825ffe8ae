"""Run benchmarks on one database, in one process: ``python -m benchmarks.stage sqlite|postgres <name> …``.

The command prints one line of JSON for each row of the table, and its progress to standard error.
"""

import argparse
import dataclasses
import importlib
import json
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import django
from django.core.management import call_command

from tests.ground import ground


@contextmanager
def stage(database: str) -> Iterator[Path]:
    """Create a folder and a database, set up Django, and delete both afterwards."""
    with ground(database, "benchmarks.settings") as folder:
        django.setup()
        call_command("migrate", verbosity=0)
        yield folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database", choices=("sqlite", "postgres"))
    parser.add_argument("names", nargs="+")
    parser.add_argument("--fast", action="store_true")
    options = parser.parse_args()
    # On SIGTERM, it still ends its child processes and its server.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with stage(options.database) as folder:
        for figures in run_benchmarks(options.names, folder, options.fast):
            print(json.dumps(dataclasses.asdict(figures)), flush=True)


def run_benchmarks(names: list[str], folder: Path, fast: bool) -> Iterator[Any]:
    # These import models, which is possible only now.
    from benchmarks import outbox
    from benchmarks.place import Place

    outbox.create_users()
    for name in names:
        print(f"  {os.environ['KLAXON_TEST_DB']}: {name} …", file=sys.stderr, flush=True)
        place = Place(folder / name, fast)
        place.folder.mkdir()
        yield from importlib.import_module(f"benchmarks.{name}").run(place)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
