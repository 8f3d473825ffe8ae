"""The measured processes. Each is ended by its own process id."""

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
# The name of the setting without options.
DEFAULTS = "default options"


def environment(**more: str) -> dict[str, str]:
    """Return the environment in which a child process uses the same database."""
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
        "KLAXON_DATABASE_NAME": str(connection.settings_dict["NAME"]),
        **more,
    }


def worker_options(setting: tuple[int, int] | None) -> tuple[list[str], str]:
    """Return the options of ``dispatch_notifications`` for these threads and batch size, and a name for them."""
    if setting is None:
        return [], DEFAULTS
    options = [f"--workers={setting[0]}", f"--batch-size={setting[1]}"]
    return options, " ".join(options)


@contextmanager
def run_process(output: Path, *module: str, **env: str) -> Iterator[subprocess.Popen]:
    """Run a Python module as a process within the block, with its output in the file ``output``."""
    with output.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", *module],
            env=environment(**env),
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            # The process leads its own session, so this kills its children too.
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=10)


def wait_until(condition: Callable[[], bool], process: subprocess.Popen, output: Path) -> None:
    """Wait until a condition is true.

    :raises RuntimeError: if the process ends before, or after ``LONGEST_WAIT`` seconds.
    """
    deadline = time.monotonic() + LONGEST_WAIT
    while not condition():
        if process.poll() is not None and not condition():
            raise RuntimeError(f"The process exited with status {process.returncode}: {output.read_text()[-2000:]}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"No result after {LONGEST_WAIT} seconds: {output.read_text()[-2000:]}")
        time.sleep(0.05)
