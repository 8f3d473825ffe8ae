"""Deliver what is queued: once for cron, or for ever with ``--watch``."""

import os
from argparse import ArgumentParser
from collections import Counter
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError
from django.db import DatabaseError, connections, router
from django.db.models import Count, Q

from notifications import clock
from notifications.dispatch.dispatcher import Tally
from notifications.dispatch.processes import Processes
from notifications.dispatch.providers import Providers
from notifications.dispatch.stop_signals import stopping_in_order
from notifications.dispatch.worker import Worker
from notifications.management.base import DatabaseCommand
from notifications.management.progress import Progress
from notifications.models import Delivery, NotificationLog, Pause
from notifications.models.pause import EVERYTHING
from notifications.outcomes import DeliveryState
from notifications.switch import OFF, is_off

ORDER = ("sent", "retry", "held", "dropped", "expired", "dead", "unknown")


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
        if is_off():
            self.stdout.write(OFF)
            if not options["watch"]:
                return
        began = clock.now(router.db_for_write(Delivery))
        shown = self.stdout.isatty() and not options["watch"]
        progress = Progress(self.stdout, ready(began) if shown else None)
        crew = workers(options, progress)
        with stopping_in_order(crew):
            if options["watch"] and not is_off():
                self.stdout.write("Watching the outbox. Stop with Ctrl-C.")
            tally = crew.watch() if options["watch"] else crew.drain()
        progress.end()
        left = Counter() if options["watch"] else left_alone()
        tally = each_once(tally, began)
        if tally.total() or not left:
            self.stdout.write(summary(tally))
        for channel, count in left.items():
            self.stdout.write(f"{count} wait for {channel}, which fails and is tried again later.")
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


def ready(now: datetime) -> int:
    """How many deliveries a worker would find at this moment."""
    using = router.db_for_write(Delivery)
    paused = Pause.objects.using(using).names()
    due = Q(state=DeliveryState.READY) | Q(state__in=(DeliveryState.HELD, DeliveryState.RETRY), due_at__lte=now)
    found = Delivery.objects.using(using).filter(due).exclude(channel__in=paused)
    return 0 if EVERYTHING in paused else found.count()


def left_alone() -> Counter[str]:
    """How many deliveries wait on each channel whose providers have failed."""
    using = router.db_for_write(Delivery)
    providers = Providers(using)
    try:
        shut = providers.shut(clock.now(using))
        waiting = Delivery.objects.using(using).filter(state=DeliveryState.READY, channel__in=shut)
        return Counter(dict(waiting.order_by().values_list("channel").annotate(Count("pk"))))
    except DatabaseError:
        return Counter()  # it is away; what was done is told all the same


def each_once(tally: Tally, began: datetime) -> Tally:
    """The same, where what was tried several times in this run counts as what it came to."""
    if not tally[DeliveryState.RETRY]:
        return tally
    using = router.db_for_write(Delivery)
    waiting = Delivery.objects.using(using).filter(state=DeliveryState.RETRY)
    tried = NotificationLog.objects.using(using).filter(kind=NotificationLog.Kind.ATTEMPT, sent_at__gte=began)
    mine = waiting.filter(pk__in=tried.values("delivery_id"))
    try:
        left = min(mine.count(), tally[DeliveryState.RETRY])
    except DatabaseError:
        return tally  # the database is away: then the outcomes are all that is known
    return Counter({**tally, DeliveryState.RETRY: left})


def summary(tally: Tally) -> str:
    """One sentence about what was done."""
    if not tally:
        return "Nothing was ready to send."
    parts = [f"{tally[state]} {state}" for state in ORDER if tally[state]]
    return f"{tally.total()} deliveries: {', '.join(parts)}."


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
