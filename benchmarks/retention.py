"""The time that ``send()`` and a claim take while ``purge_notifications`` deletes millions of rows, and its memory.

A worker delivers, two threads send and one claims, at a fixed rate. They are measured in turns, alone and beside the
purge, and the figure is the ratio of the 99th percentiles. The purge goes on in its next turn where it was stopped.
Other sizes: ``BENCH_ROWS=200000 BENCH_ROUNDS=3 BENCH_SECONDS=10 python -m benchmarks retention``.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from subprocess import Popen

from django.contrib.auth.models import User
from django.db import connection, connections
from django.utils import timezone

from benchmarks import outbox
from benchmarks.figures import Figures, percentile
from benchmarks.notification_events import BenchEvents
from benchmarks.place import Place
from benchmarks.processes import run_process, wait_until
from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery, Heartbeat, Notification, NotificationLog

AGES = ("NOTIFICATIONS", "ATTACHMENTS", "LOG", "DEAD_LETTERS", "ESCALATION_ENTRIES")
KEEP = json.dumps(dict.fromkeys(AGES))
EACH = 5
SENDERS, PAUSE = 2, 0.01
# Of each notification: itself, and for each delivery the row of the outbox, of the log, and its personal part.
ROWS_EACH = 1 + 3 * EACH
MIB = 1024 * 1024

NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %s)"
NOTIFICATIONS = f"""
    INSERT INTO klaxon_notification (cluster_id, event, priority, context, topic, campaign, correlation_id,
        attachment_bytes, digest_kind, created_at, idempotency_hash)
    {NUMBERS} SELECT %s, 'bench_noop', 5, '{{"number": "1"}}', '', '', 'old-' || i, 0, '', %s, '' FROM n"""
DELIVERIES = f"""
    INSERT INTO klaxon_delivery (notification_id, channel, recipient_id, recipient_key, address, address_hash, state,
        score, reason, attempts, strikes, owner, fence, epoch, provider, provider_message_id, tried_providers,
        settled_at)
    {NUMBERS} SELECT o.id, 'log', u.id, 'u:' || u.id, '', 'none', 'sent', 50, '', 1, 0, '', 1, 0, 'log', '', '', %s
    FROM klaxon_notification o CROSS JOIN n JOIN auth_user u ON u.id = %s + (o.id * {EACH} + n.i) %% {outbox.CROWD}"""
LOG = """
    INSERT INTO klaxon_notificationlog (kind, cluster_id, event, recipient_id, recipient_key, notification_id,
        delivery_id, channel, success, reason, error_message, provider, provider_message_id, attempt, epoch, duration,
        correlation_id, sent_at)
    SELECT 'attempt', %s, 'bench_noop', d.recipient_id, d.recipient_key, d.notification_id, d.id, 'log', %s, '', '',
        'log', '', 1, 0, 0.1, 'old-' || d.notification_id, %s FROM klaxon_delivery d"""
PERSONAL = (
    "INSERT INTO klaxon_logpersonal (log_id, address, context_data) SELECT id, '', '{}' FROM klaxon_notificationlog"
)


def fill(rows: int) -> None:
    """Write this number of old rows in all."""
    old = timezone.now() - timedelta(days=365)
    cluster, first = Cluster.objects.default().pk, User.objects.earliest("pk").pk
    with connection.cursor() as cursor:
        cursor.execute(NOTIFICATIONS, [max(rows // ROWS_EACH, 1), cluster, old])
        cursor.execute(DELIVERIES, [EACH, old, first])
        cursor.execute(LOG, [cluster, True, old])
        cursor.execute(PERSONAL)
        cursor.execute("ANALYZE")


class Load:
    """Threads that send and claim, each call on its own after a short pause, and the milliseconds that calls take."""

    def __init__(self) -> None:
        self.taken: dict[str, list[float]] = {"send": [], "claim": []}
        self._ended = threading.Event()
        self._errors: list[BaseException] = []
        self._users = list(User.objects.order_by("pk")[:100])

    @contextmanager
    def running(self) -> Iterator[None]:
        work = [self._send] * SENDERS + [self._claim]
        threads = [threading.Thread(target=self._repeat, args=(function,)) for function in work]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._ended.set()
            for thread in threads:
                thread.join()
        if self._errors:
            raise self._errors[0]

    def _repeat(self, function: Callable[[int], None]) -> None:
        number = 0
        try:
            while not self._ended.wait(PAUSE):
                function(number)
                number += 1
        except BaseException as error:  # noqa: BLE001 - it is raised at the end
            self._errors.append(error)
        finally:
            connections.close_all()

    def _send(self, number: int) -> None:
        began = time.perf_counter()
        user = self._users[number % len(self._users)]
        NotificationManager.send(BenchEvents.NOOP, [user], context={"number": str(number)})
        self.taken["send"].append((time.perf_counter() - began) * 1000)

    def _claim(self, number: int) -> None:
        now = timezone.now()
        began = time.perf_counter()
        claimed = Delivery.objects.claim("benchmark", now + timedelta(minutes=1), 5)
        self.taken["claim"].append((time.perf_counter() - began) * 1000)
        Delivery.objects.filter(pk__in=[row.pk for row in claimed]).update(state="sent", settled_at=now, lease=None)


class Memory:
    """The resident memory of a process, in bytes, when it had deleted some rows, and at most."""

    def __init__(self) -> None:
        self.first = self.most = 0

    def sample(self, process: Popen) -> None:
        try:
            pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return
        self.most = max(self.most, pages * 4096)


def measure(place: Place, seconds: float, memory: Memory | None) -> dict[str, float]:
    """Measure for some seconds, beside a purge if ``memory`` is given; return the 99th percentiles in milliseconds."""
    place.start_next()
    # The worker of the last turn was killed, and must not be rescued in this one.
    Heartbeat.objects.all().delete()
    load = Load()
    with ExitStack() as stack:
        worker = stack.enter_context(
            run_process(place.file("worker"), "django", "dispatch_notifications", "--watch", BENCH_RETENTION=KEEP)
        )
        wait_until(Heartbeat.objects.exists, worker, place.file("worker"))
        if memory is not None:
            purge = stack.enter_context(run_process(place.file("purge"), "django", "purge_notifications"))
            before = Notification.objects.count()
            wait_until(lambda: Notification.objects.count() < before, purge, place.file("purge"))
            memory.sample(purge)
            memory.first = memory.first or memory.most
        with load.running():
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                time.sleep(0.2)
                if memory is not None:
                    memory.sample(purge)
                    if purge.poll() is not None:
                        break
    return {name: percentile(taken, 99) for name, taken in load.taken.items()}


def read_size(name: str, default: int) -> int:
    return int(os.environ.get(f"BENCH_{name}", default))


def run(place: Place) -> Iterator[Figures]:
    rows, rounds = read_size("ROWS", place.size(5_000_000, 3000)), read_size("ROUNDS", place.size(5, 1))
    seconds = read_size("SECONDS", place.size(60, 1))
    outbox.clear()
    fill(rows)
    memory, turns, began = Memory(), [], time.monotonic()
    speed = 0.0
    for _ in range(rounds):
        alone = measure(place, seconds, None)
        left, since = count_left(), time.monotonic()
        beside = measure(place, seconds, memory)
        speed = max(speed, (left - count_left()) / (time.monotonic() - since))
        turns.append((alone, beside))
    for name in ("send", "claim"):
        ratios = sorted(beside[name] / alone[name] for alone, beside in turns)
        pairs = ", ".join(f"{alone[name]:.1f} and {beside[name]:.1f}" for alone, beside in turns)
        details = f"ms alone and beside the purge: {pairs}; {speed * 3600:,.0f} rows deleted an hour"
        what = f"p99 of {name} beside a purge of {rows:,} rows"
        yield Figures(what, place.database, ratios[len(ratios) // 2], "x", 1.5, False, details)
    details = f"{memory.most / MIB:.0f} MiB at most; {time.monotonic() - began:.0f} s in all"
    yield Figures(
        "memory of the purge, growth", place.database, (memory.most - memory.first) / MIB, "MiB", 10, False, details
    )


def count_left() -> int:
    old = timezone.now() - timedelta(days=200)
    notifications = Notification.objects.filter(created_at__lt=old).count()
    return notifications * (1 + EACH) + 2 * NotificationLog.objects.filter(sent_at__lt=old).count()
