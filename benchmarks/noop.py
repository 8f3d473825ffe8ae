"""Deliveries that only write a line to the discarding logger, by one process of each side.

Klaxon renders a template and records every attempt in its log, in a database. Celery gets tasks from Redis and records
nothing. Procrastinate keeps its jobs in PostgreSQL.
"""

import subprocess
import sys
from collections.abc import Iterator
from functools import partial

from django.db import connection

from benchmarks import outbox
from benchmarks.contest import Contest, Entry, run_contest
from benchmarks.figures import Figures
from benchmarks.notification_events import BenchEvents
from benchmarks.place import Place
from benchmarks.processes import DEFAULTS, environment, worker_options
from notifications.channels.log import LogChannel
from tests.celery.processes import Redis

# Threads and batch size of the worker; None means the defaults.
KLAXON = (None, (1, 100), (2, 100), (2, 500), (2, 1000))
# Pool and prefetch multiplier.
CELERY = (("solo", 64), ("prefork", 64), ("prefork", 4), ("threads", 64))
QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "WARNING")
# Concurrency, and when finished jobs are deleted.
PROCRASTINATE = ((10, "never"), (5, "never"), (10, "always"))
JOBS = """
    INSERT INTO procrastinate_jobs (queue_name, task_name, args)
    SELECT 'default', 'noop', jsonb_build_object('number', number::text) FROM generate_series(1, %s) number"""


def run(place: Place) -> Iterator[Figures]:
    server = Redis()
    server.start()
    try:
        chosen = run_contest(list(entries(place, server)), place.size(3, 0))
    finally:
        server.close()
    yield chosen.compare_defaults("no-op deliveries, one process", place.database, "Klaxon")
    yield row(place, chosen, "Celery", 4)
    if connection.vendor == "postgresql":
        yield row(place, chosen, "procrastinate", 6)


def row(place: Place, chosen: Contest, peer: str, target: float) -> Figures:
    details = f"{chosen.describe('Klaxon')}, in groups of {LogChannel.group_size}; {chosen.describe(peer)}"
    what = f"no-op deliveries, one process, against {peer}"
    return Figures(what, place.database, chosen.ratio("Klaxon", peer), "x", target, True, details)


def entries(place: Place, server: Redis) -> Iterator[Entry]:
    """Yield the settings of each side; in fast runs, one of each."""
    most = place.size(99, 1)
    for setting in KLAXON[-most:]:
        _, name = worker_options(setting)
        yield Entry("Klaxon", name, partial(measure_klaxon, place, setting))
    yield Entry(f"Klaxon, {DEFAULTS}", DEFAULTS, partial(measure_klaxon, place, None))
    for pool, prefetch in CELERY[:most]:
        yield Entry("Celery", f"{pool}, prefetch {prefetch}", partial(measure_celery, place, server, pool, prefetch))
    if connection.vendor == "postgresql":
        run_procrastinate("schema", "--apply")
        for concurrency, delete in PROCRASTINATE[:most]:
            name = f"concurrency {concurrency}, delete {delete}"
            yield Entry("procrastinate", name, partial(measure_procrastinate, place, concurrency, delete))


def measure_klaxon(place: Place, setting: tuple[int, int] | None) -> float:
    queued = place.size(12_000, 400)
    outbox.clear()
    outbox.fill(BenchEvents.NOOP, queued)
    options, _ = worker_options(setting)
    return place.measure_log_rate(queued, "django", "dispatch_notifications", "--watch", *options)


def measure_celery(place: Place, server: Redis, pool: str, prefetch: int) -> float:
    queued = place.size(6000, 400)
    server.ask("flushall")
    env = {"BENCH_BROKER": server.url, "BENCH_PREFETCH": str(prefetch)}
    fill = [sys.executable, "-m", "benchmarks.peers.celery_app", str(queued)]
    subprocess.run(fill, env=environment(**env), check=True, timeout=120)
    command = ("celery", "-A", "benchmarks.peers.celery_app", "worker", "-P", pool, "-c", "1", *QUIET)
    return place.measure_log_rate(queued, *command, **env)


def measure_procrastinate(place: Place, concurrency: int, delete: str) -> float:
    queued = place.size(3000, 400)
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE procrastinate_jobs CASCADE")
        cursor.execute(JOBS, [queued])
        cursor.execute("ANALYZE")
    options = ("worker", "-c", str(concurrency), "--delete-jobs", delete)
    env = {"BENCH_POOL": str(concurrency + 5)}
    return place.measure_log_rate(queued, "procrastinate", *PROCRASTINATE_APP, *options, **env)


PROCRASTINATE_APP = ("--log-level", "warning", "-a", "benchmarks.peers.procrastinate_app.app")


def run_procrastinate(*arguments: str) -> None:
    command = [sys.executable, "-m", "procrastinate", *PROCRASTINATE_APP, *arguments]
    subprocess.run(command, env=environment(), check=True, timeout=60, stdout=subprocess.DEVNULL)
