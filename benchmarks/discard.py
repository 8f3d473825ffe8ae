"""A logger that discards all records but writes the time of every hundredth one. All sides log to it.

The time is ``CLOCK_MONOTONIC``, which all processes of one machine share.
"""

import logging
import os
import time
from itertools import count
from pathlib import Path

NAME = "benchmarks.discard"
EVERY = 100


class Stamper(logging.Handler):
    """A handler that writes the number and time of every hundredth record to a file."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.numbers = count(1)

    def emit(self, record: logging.LogRecord) -> None:
        number = next(self.numbers)
        if number % EVERY == 0:
            with self.path.open("a") as file:
                file.write(f"{number} {time.monotonic()}\n")


def get_logger() -> logging.Logger:
    """Return the logger with its handler, which writes to the file ``BENCH_STAMPS``."""
    logger = logging.getLogger(NAME)
    if not logger.handlers:
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.addHandler(Stamper(Path(os.environ.get("BENCH_STAMPS", os.devnull))))
    return logger


def read_stamps(path: Path) -> dict[int, float]:
    """Return the time of each hundredth record, by its number."""
    if not path.exists():
        return {}
    pairs = (line.split() for line in path.read_text().splitlines() if line.count(" ") == 1)
    return {int(number): float(at) for number, at in pairs}
