"""What counting costs a worker and ``send()``, in turns with the same code without it, and a scrape of a large site."""

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any
from unittest.mock import patch

from django.contrib.auth.models import User
from django.db import connection

from benchmarks import outbox
from benchmarks.figures import Figures, percentile, ratio
from benchmarks.notification_events import BenchEvents
from benchmarks.place import Place
from notifications.delivering.dispatcher import Dispatcher
from notifications.manager import NotificationManager
from notifications.models import FigureDelta
from notifications.monitoring.figures import move_all
from notifications.monitoring.prometheus import render_metrics

COUNT = "notifications.storage.insert.build_deltas"
SERIES = {"postgresql": "generate_series(1, %s) AS number", "sqlite": "counter"}
# Rows as a worker writes them. Nothing that is measured reads them.
LOG = """
    INSERT INTO klaxon_notificationlog (
        kind, event, recipient_key, channel, success, reason, error_message, provider, provider_message_id,
        correlation_id, sent_at
    )
    SELECT 'attempt', 'bench', 'u:1', 'log', {true}, '', '', 'log', '', 'c' || number, '2026-01-01 00:00:00+00'
    FROM {series}"""
CHUNK = 500_000
INDEXES = {
    "postgresql": """
        SELECT indexname FROM pg_indexes
        WHERE tablename = 'klaxon_notificationlog' AND indexname <> 'klaxon_notificationlog_pkey'""",
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'klaxon_notificationlog'",
}


def run(place: Place) -> Iterator[Figures]:
    rounds, queued = place.size(5, 1), place.size(3000, 100)
    for what, measure in (
        ("a worker's rate with counters", lambda: deliver(queued)),
        ("send() that drops a recipient, with counters", lambda: send(place.size(300, 5))),
    ):
        with_counters, without = measure_in_turns(measure, rounds)
        details = (
            f"median of {rounds} rounds in turns; {percentile(with_counters, 50):,.0f} a second with counters, "
            f"{percentile(without, 50):,.0f} without"
        )
        yield Figures(what, place.database, ratio(with_counters, without), "x", 0.9, True, details)
    rows = place.size(10_000_000, 1000)
    deliver(queued)
    fill_log(rows)
    pending = FigureDelta.objects.count()
    measure_scrape()
    times = [measure_scrape() for _ in range(place.size(50, 2))]
    details = f"{rows:,} rows in the log, {pending} figures not moved; median {percentile(times, 50):.1f} ms"
    yield Figures("a scrape for Prometheus, p95", place.database, percentile(times, 95), "ms", 100, False, details)


def measure_in_turns(measure: Callable[[], float], rounds: int) -> tuple[list[float], list[float]]:
    """Return the rates with and without counters. The order changes from round to round."""
    rates: dict[bool, list[float]] = {True: [], False: []}
    measure()
    for number in range(rounds):
        for counts in (number % 2 == 0, number % 2 == 1):
            context: Any = nullcontext() if counts else patch(COUNT, lambda using, rows: None)
            with context:
                rates[counts].append(measure())
    return rates[True], rates[False]


def deliver(queued: int) -> float:
    """Return the deliveries a second of one thread."""
    outbox.clear()
    move_all(None)  # type: ignore[arg-type]
    outbox.fill(BenchEvents.NOOP, queued)
    began = time.perf_counter()
    Dispatcher(batch_size=100).run_until_idle()
    return queued / (time.perf_counter() - began)


def send(count: int) -> float:
    """Return the sends a second, each of which drops an inactive user."""
    outbox.clear()
    move_all(None)  # type: ignore[arg-type]
    user, _ = User.objects.get_or_create(username="left", defaults={"is_active": False})
    began = time.perf_counter()
    for number in range(count):
        NotificationManager.send(BenchEvents.NOOP, [user], None, {"number": str(number)})
    return count / (time.perf_counter() - began)


def fill_log(rows: int) -> None:
    """Add rows to the log. Its indexes are dropped first, because only filling it would use them."""
    series = SERIES[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(INDEXES[connection.vendor])
        for (name,) in cursor.fetchall():
            cursor.execute(f'DROP INDEX "{name}"')
    for start in range(0, rows, CHUNK):
        number = min(CHUNK, rows - start)
        head = "WITH RECURSIVE counter(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM counter WHERE number < %s)"
        sql = LOG.format(true="TRUE" if connection.vendor == "postgresql" else "1", series=series)
        with connection.cursor() as cursor:
            cursor.execute(sql if connection.vendor == "postgresql" else f"{head} {sql}", [number])


def measure_scrape() -> float:
    """Return the milliseconds of one scrape."""
    began = time.perf_counter()
    render_metrics()
    return (time.perf_counter() - began) * 1000
