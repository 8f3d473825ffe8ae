"""Processes that run the same code and begin it together: ``python -m tests.racing PROCESSES CODE``.

This process imports Django, and the racers are forked from it: for each to import it would take longer than the race.
It prints one line for each racer: what the racer printed.
"""

import multiprocessing
import sys
import time
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import django

SECONDS = 120


def main() -> None:
    processes, code = int(sys.argv[1]), sys.argv[2]
    django.setup()
    fork = multiprocessing.get_context("fork")
    began, said = fork.Value("d"), fork.SimpleQueue()
    start = fork.Barrier(processes, lambda: setattr(began, "value", time.time()), SECONDS)
    racers = [fork.Process(target=race, args=(code, start, began, said)) for _ in range(processes)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    if any(racer.exitcode for racer in racers):
        sys.exit(1)
    for _ in racers:
        print(said.get())


def race(code: str, start: Any, began: Any, said: Any) -> None:
    from django.db import connection

    connection.ensure_connection()
    start.wait()
    with redirect_stdout(StringIO()) as printed:
        exec(code, {"began": began.value})
    said.put(printed.getvalue().strip())


if __name__ == "__main__":
    main()
