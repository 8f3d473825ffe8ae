"""A logger that discards what it is told, but stamps the time at every so many lines: all sides log to it.

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
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.numbers = count(1)

    def emit(self, record: logging.LogRecord) -> None:
        number = next(self.numbers)
        if number % EVERY == 0:
            with self.path.open("a") as file:
                file.write(f"{number} {time.monotonic()}\n")


def discarding() -> logging.Logger:
    """The logger, with its handler in place; the file is named by ``BENCH_STAMPS``."""
    logger = logging.getLogger(NAME)
    if not logger.handlers:
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.addHandler(Stamper(Path(os.environ.get("BENCH_STAMPS", os.devnull))))
    return logger


def stamps(path: Path) -> dict[int, float]:
    """When the so manieth line was logged."""
    if not path.exists():
        return {}
    pairs = (line.split() for line in path.read_text().splitlines() if line.count(" ") == 1)
    return {int(number): float(at) for number, at in pairs}
