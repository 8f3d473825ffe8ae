"""Compare a claim of 100 rows with the least SQL that does the same, in a small outbox and in a large one.

Both outboxes exist side by side, in two databases of one server (or two files), and are measured in turns. Claimed rows
are marked, settled and replaced outside the measured time, so that each outbox keeps its size and collects dead rows as
in production. On PostgreSQL the comparison is repeated while a transaction holds an old snapshot, so that no dead row
can be vacuumed.
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
from benchmarks.ways import ROWS, Claimed, claim_by_hand, claim_with_klaxon, finish

SMALL, LARGE = "default", "large"

Way = Callable[[str], Claimed]


@dataclass
class Times:
    """The milliseconds of each claim, by way and by outbox, with one item for each round."""

    ours: dict[str, list[float]] = field(default_factory=lambda: {SMALL: [], LARGE: []})
    least: dict[str, list[float]] = field(default_factory=lambda: {SMALL: [], LARGE: []})


def run(place: Place) -> Iterator[Figures]:
    sizes = {SMALL: 1000, LARGE: place.size(1_000_000, 2000)}
    outbox.clear()
    create_large()
    for using, pending in sizes.items():
        outbox.fill(BenchEvents.NOOP, pending // 1000, 1000, using=using)
    rounds = place.size(150, 5)
    run_rounds(place.size(10, 1))
    yield from rows(place, sizes, run_rounds(rounds), "")
    if connection.vendor == "postgresql":
        with old_snapshot(sizes):
            yield from rows(place, sizes, run_rounds(rounds), ", old snapshot held")


def create_large() -> None:
    """Create the second database, with its tables and the same users."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {connections[LARGE].settings_dict['NAME']}")
    call_command("migrate", database=LARGE, verbosity=0)
    outbox.create_users(LARGE)


def run_rounds(rounds: int) -> Times:
    times = Times()
    for number in range(rounds):
        for using in (SMALL, LARGE):
            # The order alternates, because the first one finds the pages cold.
            turns = [(times.ours, claim_with_klaxon), (times.least, claim_by_hand)]
            for kept, way in turns if number % 2 else reversed(turns):
                kept[using].append(time_claim(way, using))
    return times


def time_claim(way: Way, using: str) -> float:
    began = time.perf_counter()
    claimed = way(using)
    taken = time.perf_counter() - began
    if len(claimed) != ROWS:
        raise RuntimeError(f"{len(claimed)} rows were claimed, not {ROWS}.")
    finish(claimed, using)
    return taken * 1000


@contextmanager
def old_snapshot(sizes: dict[str, int]) -> Iterator[None]:
    """Hold a transaction with a snapshot open in each database, as a report or a backup does."""
    with ExitStack() as stack:
        for using in sizes:
            other = connections[using].copy()
            stack.callback(other.close)
            cursor = stack.enter_context(other.cursor())
            cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            cursor.execute("SELECT count(*) FROM klaxon_delivery")
        yield


def rows(place: Place, sizes: dict[str, int], times: Times, suffix: str) -> Iterator[Figures]:
    for using, pending in sizes.items():
        ours, least = times.ours[using], times.least[using]
        details = f"{format_median(ours)} against {format_median(least)}; {len(ours)} rounds{compare_ends(ours, least)}"
        what = f"claim of {ROWS} of {pending:,}{suffix}, against the least SQL"
        yield Figures(what, place.database, ratio(ours, least), "x", 2, False, details)
    small, large = (times.ours[using] for using in sizes)
    least = ratio(times.least[LARGE], times.least[SMALL])
    details = f"{format_median(large)} against {format_median(small)}; the least SQL grows {least:.2f} x"
    what = f"claim of {ROWS}{suffix}, {sizes[LARGE]:,} pending against {sizes[SMALL]:,}"
    yield Figures(what, place.database, ratio(large, small), "x", 1.3, False, details)


def format_median(times: list[float]) -> str:
    return f"{statistics.median(times):.2f} ms"


def compare_ends(ours: list[float], least: list[float]) -> str:
    """Compare the last rounds with the first ones: dead rows make both sides slower."""
    tenth = max(1, len(ours) // 10)
    first, last = ours[:tenth], ours[-tenth:]
    others = f"{format_median(least[:tenth])}, {format_median(least[-tenth:])}"
    return f"; first {format_median(first)}, last {format_median(last)} (least: {others})"
