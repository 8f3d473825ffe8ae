"""The time from the commit of a CRITICAL notification to its acceptance, which the receiving side records.

One process runs ``dispatch_notifications --watch`` with its default options. First it has nothing else to do. Then
100,000 LOW deliveries wait before the first alarm is sent, and alarms are sent until those are delivered or 45 seconds
are over.
"""

import random
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.contrib.auth.models import User
from django.db import transaction

from benchmarks import outbox
from benchmarks.figures import Figures, percentile
from benchmarks.notification_events import BenchEvents
from benchmarks.place import Place
from benchmarks.processes import run_process, wait_until
from benchmarks.witness import Testimony, witness
from notifications.conf import Conf
from notifications.manager import NotificationManager

LOW_SCORE = 15
# The seconds that a second provider takes to answer, so that the worker is usually in a call when an alarm is sent.
SLOW = 0.01


class Alarms:
    """Sends alarms one by one and records when each was committed."""

    def __init__(self, testimony: Testimony) -> None:
        self.testimony = testimony
        self.user = User.objects.earliest("pk")
        self.committed: dict[int, float] = {}
        self.taken: list[float] = []

    def send(self) -> None:
        number, began = len(self.committed), time.monotonic()
        with transaction.atomic():
            # This runs first after the commit, before workers are woken.
            transaction.on_commit(lambda: self.committed.setdefault(number, time.monotonic()))
            NotificationManager.send(BenchEvents.ALARM, [self.user], context={"number": str(number)})
        self.taken.append((time.monotonic() - began) * 1000)

    def send_while(self, condition: Callable[[], bool]) -> None:
        """Send alarms at random intervals, which do not match an interval of the worker."""
        while condition():
            self.send()
            time.sleep(random.uniform(0.05, 0.25))

    def all_accepted(self) -> bool:
        return set(self.committed) <= set(self.testimony.accepted("alarm"))

    def latencies(self, first: int) -> list[float]:
        """Return the latencies in milliseconds, from alarm ``first`` on."""
        accepted = self.testimony.accepted("alarm")
        return [(accepted[number] - at) * 1000 for number, at in self.committed.items() if number >= first]


def run(place: Place) -> Iterator[Figures]:
    with scene(place) as (alarms, wait):
        alarms.send_while(lambda: len(alarms.committed) < place.size(150, 15))
        wait()
        yield row(place, "nothing else to do", alarms, 1, 250, "")
        yield flooded(place, alarms, wait, "LOW deliveries drain")
    if not place.fast:
        with scene(place, SLOW) as (alarms, wait):
            yield flooded(place, alarms, wait, f"LOW deliveries drain to a provider that takes {SLOW * 1000:.0f} ms")


@contextmanager
def scene(place: Place, seconds: float = 0) -> Iterator[tuple[Alarms, Callable[[], None]]]:
    """Run a witness and a warm worker. Yield the alarms and a function that waits until all have arrived."""
    outbox.clear()
    place.start_next()
    output = place.file("output")
    with witness(place.file("ledger"), seconds) as testimony:
        port = {"BENCH_WITNESS_PORT": str(testimony.port)}
        with run_process(output, "django", "dispatch_notifications", "--watch", **port) as process:
            alarms = Alarms(testimony)
            alarms.send()

            def wait() -> None:
                wait_until(alarms.all_accepted, process, output)

            wait()
            yield alarms, wait


def flooded(place: Place, alarms: Alarms, wait: Callable[[], None], what: str) -> Figures:
    crowd = place.size(100_000, 1000)
    outbox.fill(BenchEvents.CROWD, crowd // 100, 100, LOW_SCORE)
    first, end = len(alarms.committed), time.monotonic() + place.size(45, 5)
    alarms.send_while(lambda: time.monotonic() < end and count_left(alarms.testimony, crowd) > 0)
    wait()
    suffix = f"; {throughput(alarms.testimony):,.0f} of {crowd:,} LOW accepted each second"
    return row(place, f"{crowd:,} {what}", alarms, first, 1000, suffix)


def count_left(testimony: Testimony, crowd: int) -> int:
    return crowd - max(testimony.accepted("crowd"), default=0)


def throughput(testimony: Testimony) -> float:
    accepted = testimony.accepted("crowd")
    first, last = min(accepted), max(accepted)
    return (last - first) / max(accepted[last] - accepted[first], 0.001)


def row(place: Place, what: str, alarms: Alarms, first: int, target: float, suffix: str) -> Figures:
    latencies, taken = alarms.latencies(first), alarms.taken[first:]
    details = (
        f"{len(latencies)} alarms, median {statistics.median(latencies):,.0f} ms, worst {max(latencies):,.0f} ms; "
        f"send() and its commit, before that, p99 {percentile(taken, 99):,.0f} ms; "
        f"WORKERS {Conf.workers}, BATCH_SIZE {Conf.batch_size}{suffix}"
    )
    what = f"commit to acceptance, CRITICAL, p99: {what}"
    return Figures(what, place.database, percentile(latencies, 99), "ms", target, False, details)
