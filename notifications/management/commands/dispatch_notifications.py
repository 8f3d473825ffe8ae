"""Deliver queued notifications: once, for cron, or continuously with ``--watch``."""

import os
from argparse import ArgumentParser
from contextlib import nullcontext
from typing import Any

from django.core.management.base import CommandError
from django.db import connections, router

from notifications.conf import OFF_MESSAGE, is_off
from notifications.core import clock
from notifications.delivering.workers.stop_signals import stop_on_signals
from notifications.delivering.workers.worker import Worker
from notifications.delivering.workers.worker_processes import WorkerProcesses
from notifications.management.base import DatabaseCommand
from notifications.management.counts import format_count
from notifications.management.progress import Progress
from notifications.management.summary import count_ready, describe_run
from notifications.models import Delivery
from notifications.monitoring.systemd import reporting_to_systemd


class Command(DatabaseCommand):
    help = (
        "Deliver queued notifications. By default the command works until nothing is ready, prints a summary and "
        "exits, which suits cron. With --watch it runs until it receives SIGTERM or SIGINT, and each commit wakes it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--watch", action="store_true", help="run until stopped")
        add(
            "--processes",
            type=int,
            default=1,
            help="the number of worker processes, each with its threads (default: 1)",
        )
        add("--batch-size", type=int, help="the size of the first claim; claims can grow (default: BATCH_SIZE, 10)")
        add("--workers", type=int, help="the threads of each process (default: WORKERS, 2, with --watch; otherwise 1)")
        add("--idle", type=float, help="the seconds to wait if there is nothing to do (default: IDLE_SECONDS, 1)")
        add("--error-pause", type=float, help="the seconds to wait after an error (default: ERROR_PAUSE_SECONDS, 5)")

    def handle(self, *args: Any, **options: Any) -> None:
        check_options(options)
        off = is_off()
        if off and not options["watch"]:
            self.stdout.write(OFF_MESSAGE)
            return
        began = clock.now(router.db_for_write(Delivery))
        has_progress_bar = self.stdout.isatty() and not options["watch"]
        progress = Progress(self.stdout, count_ready(began) if has_progress_bar else None)
        worker = make_worker(options, progress)
        with stop_on_signals(worker), reporting_to_systemd(worker) if options["watch"] else nullcontext():
            if options["watch"]:
                self.stdout.write(OFF_MESSAGE if off else "Watching the outbox. Stop with Ctrl-C.")
                # Otherwise each forked process would have the line in its buffer, too.
                self.stdout.flush()
            tally = worker.watch() if options["watch"] else worker.drain()
        progress.end()
        for sentence in () if off else describe_run(tally, began):
            self.stdout.write(sentence)
        raise_failures(worker, options["watch"])


def check_options(options: dict[str, Any]) -> None:
    """
    :raises CommandError: if a number is out of range, or worker processes cannot be started.
    """
    for name in ("batch_size", "workers", "processes"):
        if options[name] is not None and options[name] < 1:
            raise CommandError(f"--{name.replace('_', '-')} must be at least 1.")
    for name in ("idle", "error_pause"):
        if options[name] is not None and options[name] <= 0:
            raise CommandError(f"--{name.replace('_', '-')} must be more than 0 seconds.")
    if options["processes"] > 1 and not hasattr(os, "fork"):
        raise CommandError("--processes requires a system that can fork. Start the command several times instead.")
    if options["processes"] > 1 and connections[router.db_for_write(Delivery)].in_atomic_block:
        raise CommandError("--processes cannot be used in a transaction, because other processes would not see it.")


def make_worker(options: dict[str, Any], progress: Progress) -> Worker | WorkerProcesses:
    arguments = {
        "workers": options["workers"] or (None if options["watch"] else 1),
        "batch_size": options["batch_size"],
        "idle": options["idle"],
        "error_pause": options["error_pause"],
        "on_progress": lambda tally: progress.advance(tally.total()),
    }
    return Worker(**arguments) if options["processes"] == 1 else WorkerProcesses(options["processes"], **arguments)


def raise_failures(worker: Worker | WorkerProcesses, watch: bool) -> None:
    """
    :raises CommandError: if processes died, if outcomes could not be written to the database or, without ``--watch``,
        if threads failed.
    """
    died = worker.failed_processes if isinstance(worker, WorkerProcesses) else 0
    failed = 0 if watch else worker.errors
    unwritten = worker.outcomes_in_files
    failures = {
        f"{format_count(died, 'worker process', 'worker processes')} died": died,
        f"{format_count(failed, 'worker thread or periodic task', 'worker threads or periodic tasks')} failed": failed,
        f"{format_count(unwritten, 'outcome')} could not be written to the database": unwritten,
    }
    words = [failure for failure, count in failures.items() if count]
    if words:
        raise CommandError(f"{' and '.join(words)}. The log contains the errors.")
