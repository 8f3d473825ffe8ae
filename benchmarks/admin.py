"""Every request that the admin can answer, with 1,000,000 deliveries and 10,000,000 log entries; a tenth on SQLite.

Each request is made through Django's test client, with its middleware and session. The figures are those of the slowest
request of each kind. A request that takes longer than the target is repeated, because the machine may have been busy.
"""

import re
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from benchmarks.admin_rows import fill
from benchmarks.admin_visits import Visit, list_visits
from benchmarks.figures import Figures
from benchmarks.place import Place

TARGET = 300
REPEATS = 2
MIN_LARGE = 10_000
SCAN = re.compile(r"Seq Scan on \"?(\w+)|SCAN (\w+)(?! USING)")


def run(place: Place) -> Iterator[Figures]:
    deliveries = place.size(1_000_000 if connection.vendor == "postgresql" else 100_000, 1000)
    written = fill(deliveries)
    large = {f"klaxon_{name}" for name, count in written.items() if count >= min(MIN_LARGE, deliveries)}
    yield from measure(place.database, deliveries, large)


def measure(database: str, deliveries: int, large: set[str], shown: str = "") -> Iterator[Figures]:
    user = get_user_model().objects.create_superuser(f"boss{time.time_ns()}")
    client = Client()
    client.force_login(user)
    found: dict[str, list[tuple[float, int, str]]] = defaultdict(list)
    scans: set[str] = set()
    for visit in list_visits(user):
        if shown in visit.name:
            milliseconds, queries = measure_visit(visit, client)
            found[visit.kind].append((milliseconds, len(queries), visit.name))
            scans |= {f"{visit.name}: {table}" for table in find_scanned(queries) & large}
    for name in sorted(scans):
        print(f"    reads the whole table: {name}", file=sys.stderr)
    for kind, times in found.items():
        slowest = sorted(times, reverse=True)
        for milliseconds, count, name in slowest[:REPEATS]:
            print(f"    {kind}: {milliseconds:.0f} ms, {count} queries, {name}", file=sys.stderr)
        most = max(count for _, count, _ in times)
        details = (
            f"{deliveries:,} deliveries, {deliveries * 10:,} log entries; {slowest[0][2]} of {len(times)} requests; "
        )
        details += f"at most {most} queries"
        yield Figures(f"admin: {kind}, slowest", database, slowest[0][0], "ms", TARGET, False, details)


def measure_visit(visit: Visit, client: Client) -> tuple[float, Sequence[dict[str, Any]]]:
    """Return the milliseconds and the queries of a request, after one that has warmed the caches up."""
    with CaptureQueriesContext(connection) as captured:
        response = visit.make(client)
    assert response.status_code in (200, 302), (visit, response.status_code)
    queries = [query for query in captured.captured_queries if query["sql"].startswith(("SELECT", "WITH"))]
    best = float("inf")
    for _ in range(REPEATS):
        began = time.perf_counter()
        visit.make(client)
        best = min(best, (time.perf_counter() - began) * 1000)
        if best < TARGET:
            break
    return best, queries


def find_scanned(queries: Sequence[dict[str, Any]]) -> set[str]:
    """Return the tables that the database would read from the first to the last row."""
    word = "EXPLAIN" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"
    lines: list[str] = []
    for query in queries:
        with connection.cursor() as cursor:
            cursor.execute(f"{word} {query['sql']}".replace("%", "%%"), [])
            lines += [str(row[-1]) for row in cursor.fetchall()]
    return {name for line in lines for match in SCAN.finditer(line) for name in match.groups() if name}
