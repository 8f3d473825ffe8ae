"""Claiming a hundred rows, against the least SQL that does it, in a small outbox and in a large one.

Both outboxes exist side by side, in two databases of one server (or two files), and are measured in turns. What is
claimed is marked, settled and replaced outside the measured time, so that each keeps its size and gathers dead rows as
in life. On PostgreSQL the same once more while a transaction holds an old snapshot: then no dead row can be cleared.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from django.core.management import call_command
from django.db import connection, connections

from benchmarks import outbox
from benchmarks.figures import Figures, ratio
from benchmarks.notification_events import BenchEvents
from benchmarks.place import Place
from benchmarks.ways import ROWS, Claimed, by_hand, finish, klaxon

SMALL, LARGE = "default", "large"

Way = Callable[[str], Claimed]


@dataclass
class Times:
    """Milliseconds of each claim, by way and by outbox, one for each round."""

    ours: dict[str, list[float]] = field(default_factory=lambda: {SMALL: [], LARGE: []})
    least: dict[str, list[float]] = field(default_factory=lambda: {SMALL: [], LARGE: []})


def run(place: Place) -> Iterator[Figures]:
    sizes = {SMALL: 1000, LARGE: place.size(1_000_000, 10_000)}
    outbox.empty()
    make_large()
    for using, pending in sizes.items():
        outbox.fill(BenchEvents.NOOP, pending // 1000, 1000, using=using)
    rounds = place.size(150, 5)
    play(place.size(10, 1))
    yield from rows(place, sizes, play(rounds), "")
    if connection.vendor == "postgresql":
        with old_snapshot(sizes):
            yield from rows(place, sizes, play(rounds), ", old snapshot held")


def make_large() -> None:
    """The second database: its tables, and the same crowd."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {connections[LARGE].settings_dict['NAME']}")
    call_command("migrate", database=LARGE, verbosity=0)
    outbox.people(LARGE)


def play(rounds: int) -> Times:
    times = Times()
    for number in range(rounds):
        for using in (SMALL, LARGE):
            # Neither is always the first, which finds the pages cold.
            turns = [(times.ours, klaxon), (times.least, by_hand)]
            for kept, way in turns if number % 2 else reversed(turns):
                kept[using].append(timed(way, using))
    return times


def timed(way: Way, using: str) -> float:
    began = time.perf_counter()
    claimed = way(using)
    taken = time.perf_counter() - began
    if len(claimed) != ROWS:
        raise RuntimeError(f"{len(claimed)} rows were claimed, not {ROWS}.")
    finish(claimed, using)
    return taken * 1000


@contextmanager
def old_snapshot(sizes: dict[str, int]) -> Iterator[None]:
    """In each database a transaction that has read, and goes on and on: a report, a backup, a forgotten shell."""
    with ExitStack() as stack:
        for using in sizes:
            other = connections[using].copy()
            stack.callback(other.close)
            cursor = stack.enter_context(other.cursor())
            cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            cursor.execute("SELECT count(*) FROM klaxon_delivery")
        yield


def rows(place: Place, sizes: dict[str, int], times: Times, how: str) -> Iterator[Figures]:
    for using, pending in sizes.items():
        ours, least = times.ours[using], times.least[using]
        told = f"{middle(ours)} against {middle(least)}; {len(ours)} rounds{ends(ours, least)}"
        what = f"claim of {ROWS} of {pending:,}{how}, against the least SQL"
        yield Figures(what, place.database, ratio(ours, least), "x", 2, False, told)
    small, large = (times.ours[using] for using in sizes)
    least = ratio(times.least[LARGE], times.least[SMALL])
    told = f"{middle(large)} against {middle(small)}; the least SQL grows {least:.2f} x"
    what = f"claim of {ROWS}{how}, {sizes[LARGE]:,} pending against {sizes[SMALL]:,}"
    yield Figures(what, place.database, ratio(large, small), "x", 1.3, False, told)


def middle(times: list[float]) -> str:
    return f"{statistics.median(times):.2f} ms"


def ends(ours: list[float], least: list[float]) -> str:
    """How the last rounds compare with the first: dead rows make both slower."""
    tenth = max(1, len(ours) // 10)
    first, last = ours[:tenth], ours[-tenth:]
    return f"; first {middle(first)}, last {middle(last)} (least: {middle(least[:tenth])}, {middle(least[-tenth:])})"
