"""``send()`` beside what it could not do without: the driver's own insert of as many deliveries.

To ten thousand members of a cluster, who all have preferences, and to as many for whom every gate has something to
say. Beside it, in the same rounds, Django's ``bulk_create``. Then to one recipient, beside django-post_office; and the
memory of a fresh process that sends to a hundred thousand.
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
from post_office.models import EmailTemplate

from benchmarks import outbox
from benchmarks.figures import Figures, ratio
from benchmarks.members import TOPIC, with_everything, with_preferences
from benchmarks.notification_events import BenchEvents
from benchmarks.place import Place
from benchmarks.processes import environment
from benchmarks.rows import by_bulk_create, by_driver
from notifications.core import clock
from notifications.manager import NotificationManager
from notifications.models import Cluster
from notifications.recipients import Members

CALLS = 50
CONTEXT = {"number": "7", "carrier": "The parcel service", "day": "Friday"}
# Not statements that read or write anything.
FRAME = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE")
numbers = count()


def run(place: Place) -> Iterator[Figures]:
    many = place.size(10_000, 1000)
    slow = connection.vendor == "postgresql"
    cluster = with_preferences("plain", many)
    yield from to_many(place, f"send() to {many:,} with preferences", cluster, send_mail, 3.5 if slow else 2.5)
    yield from to_one(place)
    cluster = with_everything("busy", many)
    yield from to_many(place, f"send() to {many:,}, every gate active", cluster, send_busy, 4.5 if slow else 3.5)
    yield memory(place)


def send_mail(cluster: Cluster) -> None:
    NotificationManager.send(BenchEvents.MAIL, Members(cluster), cluster, CONTEXT)


def send_busy(cluster: Cluster) -> None:
    """Each time something new, or all would be repeats."""
    context = {"number": str(next(numbers))}
    NotificationManager.send(BenchEvents.BUSY, Members(cluster), cluster, context, topic=TOPIC)


def to_many(
    place: Place, what: str, cluster: Cluster, send: Callable[[Cluster], None], target: float
) -> Iterator[Figures]:
    people = list(User.objects.filter(notification_clusters=cluster).values_list("pk", "email"))
    ways = {"ours": partial(send, cluster), "driver": by_driver(people), "bulk": by_bulk_create(people)}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(place.size(7, 2)):
        # Nobody is always the first.
        for name in list(ways) if number % 2 else reversed(ways):
            times[name].append(timed(ways[name]))
    ours, told = (
        times["ours"],
        f"{middle(times['ours'])} against {middle(times['driver'])}; {len(times['ours'])} rounds",
    )
    told += f"; bulk_create of as many {middle(times['bulk'])}, {ratio(times['bulk'], times['driver']):.2f} x"
    yield Figures(f"{what}, against the driver", place.database, ratio(ours, times["driver"]), "x", target, False, told)


def timed(way: Callable[[], None]) -> float:
    """Milliseconds, with its commit."""
    outbox.empty()
    gc.collect()
    began = time.perf_counter()
    with transaction.atomic():
        way()
    return (time.perf_counter() - began) * 1000


def to_one(place: Place) -> Iterator[Figures]:
    """Both sides inside an open transaction, and nothing is rendered by either."""
    cluster, user = Cluster.objects.default(), User.objects.earliest("pk")
    template = EmailTemplate.objects.create(name="bench", subject="{{ number }}", content="{{ day }}")
    ways = {
        "ours": lambda: NotificationManager.send(BenchEvents.MAIL, [user], cluster, CONTEXT),
        "theirs": lambda: mail.send(user.email, template=template, context=CONTEXT, render_on_delivery=True),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(place.size(40, 3)):
        for name in list(ways) if number % 2 else reversed(ways):
            times[name].append(timed_calls(ways[name]))
    told = f"{middle(times['ours'])} against {middle(times['theirs'])}; {len(times['ours'])} rounds of {CALLS} calls"
    figure = ratio(times["ours"], times["theirs"])
    yield Figures("send() to one, against post_office's", place.database, figure, "x", 1.5, False, told)
    yield statements(place, user)


def timed_calls(way: Callable[[], object]) -> float:
    """Milliseconds of each."""
    with transaction.atomic():
        way()
        began = time.perf_counter()
        for _ in range(CALLS):
            way()
        taken = time.perf_counter() - began
        transaction.set_rollback(True)
    return taken * 1000 / CALLS


def statements(place: Place, user: User) -> Figures:
    """Without a cluster, so that the default one is read too."""
    clock.lately()  # asked once a second at most
    with transaction.atomic(), CaptureQueriesContext(connection) as asked:
        NotificationManager.send(BenchEvents.MAIL, [user], None, CONTEXT)
    counted = [query["sql"] for query in asked if not query["sql"].startswith(FRAME)]
    # Of one that is done with many rows Django tells how many times first.
    words = ", ".join(sql.rpartition("times: ")[2].split()[0] for sql in counted)
    return Figures("statements of send() to one", place.database, len(counted), "statements", 6, False, words)


def memory(place: Place) -> Figures:
    people = place.size(100_000, 5000)
    cluster = with_preferences("mass", people)
    place.next()
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.memory", str(cluster.pk)]
    done = subprocess.run(command, env=environment(), check=True, timeout=300, capture_output=True, text=True)
    start, peak, queued = map(float, done.stdout.split())
    told = f"{queued:,.0f} queued; {start:,.0f} MB before, {peak:,.0f} MB at most"
    return Figures(f"memory of send() to {people:,}", place.database, peak - start, "MB", 60, False, told)


def middle(times: list[float]) -> str:
    return f"{statistics.median(times):.2f} ms"
