"""Deliver what is queued: once for cron, or for ever with ``--watch``."""

import os
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db import connections, router

from notifications.core import clock
from notifications.core.switch import OFF_MESSAGE, is_off
from notifications.delivering.workers.processes import Processes
from notifications.delivering.workers.stop_signals import stopping_in_order
from notifications.delivering.workers.worker import Worker
from notifications.management.base import DatabaseCommand
from notifications.management.progress import Progress
from notifications.management.summary import count_ready, describe_run
from notifications.models import Delivery


class Command(DatabaseCommand):
    help = (
        "Deliver queued notifications. Without options it works until nothing is ready, prints a summary and ends: "
        "right for cron. With --watch it goes on, woken by every commit, until it gets SIGTERM or SIGINT."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--watch", action="store_true", help="go on until stopped")
        parser.add_argument("--processes", type=int, default=1, help="worker processes (1), each with its own threads")
        parser.add_argument("--batch-size", type=int, help="deliveries to claim at a time (BATCH_SIZE, 10)")
        parser.add_argument("--workers", type=int, help="threads (WORKERS, 2, with --watch; else 1)")
        parser.add_argument("--idle", type=float, help="seconds to wait when there is nothing to do (IDLE_SECONDS, 1)")
        parser.add_argument("--error-pause", type=float, help="seconds to wait after an error (ERROR_PAUSE_SECONDS, 5)")

    def handle(self, *args: Any, **options: Any) -> None:
        check(options)
        off = is_off()
        if off and not options["watch"]:
            self.stdout.write(OFF_MESSAGE)
            return
        began = clock.now(router.db_for_write(Delivery))
        shown = self.stdout.isatty() and not options["watch"]
        progress = Progress(self.stdout, count_ready(began) if shown else None)
        crew = workers(options, progress)
        with stopping_in_order(crew):
            if options["watch"]:
                self.stdout.write(OFF_MESSAGE if off else "Watching the outbox. Stop with Ctrl-C.")
                # Or each process that is forked would have it in its buffer, too.
                self.stdout.flush()
            tally = crew.watch() if options["watch"] else crew.drain()
        progress.end()
        for sentence in () if off else describe_run(tally, began):
            self.stdout.write(sentence)
        complain(crew, options["watch"])


def check(options: dict[str, Any]) -> None:
    """
    :raises CommandError: if a number cannot work, or there can be no further processes.
    """
    for name in ("batch_size", "workers", "processes"):
        if options[name] is not None and options[name] < 1:
            raise CommandError(f"--{name.replace('_', '-')} must be at least 1.")
    for name in ("idle", "error_pause"):
        if options[name] is not None and options[name] <= 0:
            raise CommandError(f"--{name.replace('_', '-')} must be more than 0 seconds.")
    if options["processes"] > 1 and not hasattr(os, "fork"):
        raise CommandError("--processes needs a system that can fork. Start the command several times instead.")
    if options["processes"] > 1 and connections[router.db_for_write(Delivery)].in_atomic_block:
        raise CommandError("--processes cannot work inside a transaction: other processes would not see it.")


def workers(options: dict[str, Any], progress: Progress) -> Worker | Processes:
    mine = {
        "workers": options["workers"] or (None if options["watch"] else 1),
        "batch_size": options["batch_size"],
        "idle": options["idle"],
        "error_pause": options["error_pause"],
        "on_progress": lambda news: progress.advance(news.total()),
    }
    return Worker(**mine) if options["processes"] == 1 else Processes(options["processes"], **mine)


def complain(crew: Worker | Processes, watched: bool) -> None:
    """
    :raises CommandError: if processes did not end well, if outcomes could not be written to the database or, in one
        run, if threads failed.
    """
    troubles = {
        "worker processes died": crew.died if isinstance(crew, Processes) else 0,
        "worker threads or chores failed": 0 if watched else crew.errors,
        "outcomes could not be written to the database": crew.left_in_files,
    }
    words = [f"{count} {what}" for what, count in troubles.items() if count]
    if words:
        raise CommandError(f"{' and '.join(words)}; the log says why.")
