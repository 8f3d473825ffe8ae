"""Compare ``send()`` with the driver's insert of the same number of deliveries.

One cluster has 10,000 members with preferences; for the 10,000 members of another one, every gate has something to
check. Django's ``bulk_create()`` is measured in the same rounds. ``send()`` to one recipient is compared with
django-post_office. The last figure is the memory that a new process needs to send to 100,000 members.
"""

import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from post_office import mail
from post_office.models import Email, EmailTemplate

from benchmarks import outbox
from benchmarks.figures import Figures, ratio
from benchmarks.members import TOPIC, create_busy_cluster, create_simple_cluster
from benchmarks.notification_events import BenchEvents
from benchmarks.place import Place
from benchmarks.processes import environment
from benchmarks.rows import make_bulk_create, make_driver_insert
from notifications.core import clock
from notifications.manager import NotificationManager
from notifications.models import Cluster
from notifications.recipients import Members

CALLS = 50
CONTEXT = {"number": "7", "carrier": "The parcel service", "day": "Friday"}
# Statements that read or write nothing.
FRAME = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE")
numbers = count()


def run(place: Place) -> Iterator[Figures]:
    many = place.size(10_000, 300)
    slow = connection.vendor == "postgresql"
    cluster = create_simple_cluster("plain", many)
    yield from send_to_many(place, f"send() to {many:,} with preferences", cluster, send_mail, 3.5 if slow else 2.5)
    yield from send_to_one(place)
    cluster = create_busy_cluster("busy", many)
    yield from send_to_many(place, f"send() to {many:,}, every gate active", cluster, send_busy, 4.5 if slow else 3.5)
    yield measure_memory(place)


def send_mail(cluster: Cluster) -> None:
    NotificationManager.send(BenchEvents.MAIL, Members(cluster), cluster, CONTEXT)


def send_busy(cluster: Cluster) -> None:
    """Send a new context each time, because otherwise all would be repeats."""
    context = {"number": str(next(numbers))}
    NotificationManager.send(BenchEvents.BUSY, Members(cluster), cluster, context, topic=TOPIC)


def send_to_many(
    place: Place, what: str, cluster: Cluster, send: Callable[[Cluster], None], target: float
) -> Iterator[Figures]:
    people = list(User.objects.filter(notification_clusters=cluster).values_list("pk", "email"))
    ways = {"ours": partial(send, cluster), "driver": make_driver_insert(people), "bulk": make_bulk_create(people)}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(place.size(7, 2)):
        # The order alternates.
        for name in list(ways) if number % 2 else reversed(ways):
            times[name].append(time_with_commit(ways[name]))
    ours, driver, bulk = times["ours"], times["driver"], times["bulk"]
    details = f"{format_median(ours)} against {format_median(driver)}; {len(ours)} rounds"
    details += f"; bulk_create of as many {format_median(bulk)}, {ratio(bulk, driver):.2f} x"
    yield Figures(f"{what}, against the driver", place.database, ratio(ours, driver), "x", target, False, details)


def time_with_commit(way: Callable[[], None]) -> float:
    """Return the time of a call and its commit in milliseconds."""
    outbox.clear()
    gc.collect()
    began = time.perf_counter()
    with transaction.atomic():
        way()
    return (time.perf_counter() - began) * 1000


def send_to_one(place: Place) -> Iterator[Figures]:
    """Compare calls in an open transaction, and calls that each commit. Neither side renders anything."""
    cluster, user = Cluster.objects.default(), User.objects.earliest("pk")
    template = EmailTemplate.objects.create(name="bench", subject="{{ number }}", content="{{ day }}")
    ways = {
        "ours": lambda: NotificationManager.send(BenchEvents.MAIL, [user], cluster, CONTEXT),
        "theirs": lambda: mail.send(user.email, template=template, context=CONTEXT, render_on_delivery=True),
    }
    for form, time_calls in (("in a transaction", time_uncommitted), ("each with its commit", time_committed)):
        times: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(place.size(40, 3)):
            for name in list(ways) if number % 2 else reversed(ways):
                times[name].append(time_calls(ways[name]))
        ours, theirs = times["ours"], times["theirs"]
        details = f"{format_median(ours)} against {format_median(theirs)}; {len(ours)} rounds of {CALLS} calls"
        what = f"send() to one, {form}, against post_office's"
        yield Figures(what, place.database, ratio(ours, theirs), "x", 1, False, details)
    Email.objects.all().delete()
    yield count_statements(place, user)


def time_uncommitted(way: Callable[[], object]) -> float:
    """Return the time of one call in an open transaction, in milliseconds."""
    with transaction.atomic():
        taken = time_committed(way)
        transaction.set_rollback(True)
    return taken


def time_committed(way: Callable[[], object]) -> float:
    """Return the time of one call, with its commit unless a transaction is open, in milliseconds."""
    way()
    began = time.perf_counter()
    for _ in range(CALLS):
        way()
    return (time.perf_counter() - began) * 1000 / CALLS


def count_statements(place: Place, user: User) -> Figures:
    """Count the statements of a call without a cluster, which also reads the default cluster."""
    clock.cached_now()  # asked once a second at most
    with transaction.atomic(), CaptureQueriesContext(connection) as asked:
        NotificationManager.send(BenchEvents.MAIL, [user], None, CONTEXT)
    counted = [query["sql"] for query in asked if not query["sql"].startswith(FRAME)]
    # Django prefixes a statement that runs for many rows with the number of times.
    details = ", ".join(sql.rpartition("times: ")[2].split()[0] for sql in counted)
    return Figures("statements of send() to one", place.database, len(counted), "statements", 6, False, details)


def measure_memory(place: Place) -> Figures:
    people = place.size(100_000, 2000)
    cluster = create_simple_cluster("mass", people)
    place.start_next()
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.memory", str(cluster.pk)]
    done = subprocess.run(command, env=environment(), check=True, timeout=300, capture_output=True, text=True)
    start, peak, queued = map(float, done.stdout.split())
    details = f"{queued:,.0f} queued; {start:,.0f} MB before, {peak:,.0f} MB at most"
    return Figures(f"memory of send() to {people:,}", place.database, peak - start, "MB", 60, False, details)


def format_median(times: list[float]) -> str:
    return f"{statistics.median(times):.2f} ms"
