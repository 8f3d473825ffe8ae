"""Deliver what is queued: once for cron, or for ever with ``--watch``."""

import signal
import threading
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from notifications.dispatch.dispatcher import Tally
from notifications.dispatch.worker import Worker

ORDER = ("sent", "retry", "held", "dropped", "expired", "dead", "unknown")


class Command(BaseCommand):
    help = (
        "Deliver queued notifications. Without options it works until nothing is ready, prints a summary and ends: "
        "right for cron. With --watch it goes on, woken by every commit, until it gets SIGTERM or SIGINT."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--watch", action="store_true", help="go on until stopped")
        parser.add_argument("--batch-size", type=int, help="deliveries to claim at a time (BATCH_SIZE, 10)")
        parser.add_argument("--workers", type=int, help="threads (WORKERS, 2, with --watch; else 1)")
        parser.add_argument("--idle", type=float, help="seconds to wait when there is nothing to do (IDLE_SECONDS, 1)")
        parser.add_argument("--error-pause", type=float, help="seconds to wait after an error (ERROR_PAUSE_SECONDS, 5)")

    def handle(self, *args: Any, **options: Any) -> None:
        for name in ("batch_size", "workers"):
            if options[name] is not None and options[name] < 1:
                raise CommandError(f"--{name.replace('_', '-')} must be at least 1.")
        for name in ("idle", "error_pause"):
            if options[name] is not None and options[name] <= 0:
                raise CommandError(f"--{name.replace('_', '-')} must be more than 0 seconds.")
        worker = Worker(
            workers=options["workers"] or (None if options["watch"] else 1),
            batch_size=options["batch_size"],
            idle=options["idle"],
            error_pause=options["error_pause"],
            on_progress=self._progress(options["verbosity"]),
        )
        with stopping_in_order(worker):
            if options["watch"]:
                self.stdout.write("Watching the outbox. Stop with Ctrl-C.")
            tally = worker.watch() if options["watch"] else worker.drain()
        self.stdout.write(summary(tally))
        if worker.errors and not options["watch"]:
            raise CommandError(f"{worker.errors} worker threads failed; the log says why.")

    def _progress(self, verbosity: int) -> Any:
        total: Tally = Counter()

        def show(news: Tally) -> None:
            total.update(news)
            if verbosity > 1 or self.stdout.isatty():
                self.stdout.write(f"\r{total.total()} deliveries …", ending="")
                self.stdout.flush()

        return show


@contextmanager
def stopping_in_order(worker: Worker) -> Iterator[None]:
    """SIGTERM and SIGINT end the worker between two groups. Python lets only the main thread ask for signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda *_: worker.stop()) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def summary(tally: Tally) -> str:
    """One sentence about what was done."""
    if not tally:
        return "Nothing was ready to send."
    parts = [f"{tally[state]} {state}" for state in ORDER if tally[state]]
    return f"{tally.total()} deliveries: {', '.join(parts)}."
