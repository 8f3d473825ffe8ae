"""The processes that are measured, each ended by its own process id."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from django.db import connection

LONGEST_WAIT = 300


def environment(**more: str) -> dict[str, str]:
    """What a child needs to work on the same database."""
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
        "KLAXON_DATABASE_NAME": str(connection.settings_dict["NAME"]),
        **more,
    }


def worker_options(setting: tuple[int, int] | None) -> tuple[list[str], str]:
    """Options of ``dispatch_notifications`` for so many threads and such a batch size, and their name."""
    if setting is None:
        return [], "as it comes"
    options = [f"--workers={setting[0]}", f"--batch-size={setting[1]}"]
    return options, " ".join(options)


@contextmanager
def running(words: Path, *module: str, **env: str) -> Iterator[subprocess.Popen]:
    """A Python module as a process, for as long as the block lasts. What it says goes to the file ``words``."""
    with words.open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", *module],
            env=environment(**env),
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            # Its children with it: it leads a session of its own.
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=10)


def until(condition: Callable[[], bool], process: subprocess.Popen, words: Path) -> None:
    """Wait until a condition holds, for as long as the process lives."""
    deadline = time.monotonic() + LONGEST_WAIT
    while not condition():
        if process.poll() is not None and not condition():
            raise RuntimeError(f"The process ended with {process.returncode}: {words.read_text()[-2000:]}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"Waited in vain: {words.read_text()[-2000:]}")
        time.sleep(0.05)
