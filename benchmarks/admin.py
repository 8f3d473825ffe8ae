"""Every request that the admin can answer, with 1,000,000 deliveries and 10,000,000 log entries; a tenth on SQLite.

Each request is made through Django's test client, with its middleware and session. The figures are those of the slowest
request of each kind. They are the time for which this process and the session of the database server have computed, so
that other processes of the machine do not count. All rows that a request needs are in memory.
"""

import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
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
REPEATS = 3


def run(place: Place) -> Iterator[Figures]:
    deliveries = place.size(1_000_000 if connection.vendor == "postgresql" else 100_000, 1000)
    fill(deliveries)
    if connection.vendor == "postgresql":
        # As autovacuum does a little later.
        with connection.cursor() as cursor:
            cursor.execute("VACUUM")
    yield from measure(place.database, deliveries, place.size(1, 20))


def measure(database: str, deliveries: int, every: int = 1) -> Iterator[Figures]:
    """Yield a figure for each kind of requests. Of each kind, one in ``every`` requests is made."""
    user = get_user_model().objects.create_superuser(f"boss{time.time_ns()}")
    client = Client()
    client.force_login(user)
    found: dict[str, list[tuple[float, int, int, str]]] = defaultdict(list)
    seen: Counter[str] = Counter()
    for visit in list_visits(user):
        seen[visit.kind] += 1
        if (seen[visit.kind] - 1) % every:
            continue
        queries = capture_queries(visit, client)
        row = (measure_visit(visit, client), len(queries), count_rows_read(queries), visit.name)
        found[visit.kind].append(row)
    for kind, times in found.items():
        slowest = sorted(times, reverse=True)
        by_queries = sorted(times, key=lambda row: -row[1])
        for milliseconds, count, read, name in slowest[:REPEATS] + by_queries[:REPEATS]:
            print(f"    {kind}: {milliseconds:.0f} ms, {count} queries, {read:,} rows, {name}", file=sys.stderr)
        most, read = (max(row[place] for row in times) for place in (1, 2))
        rows = f"{deliveries:,} deliveries, {deliveries * 10:,} log entries"
        details = f"{rows}; {slowest[0][3]} of {len(times)} requests; at most {most} queries and {read:,} rows read"
        yield Figures(f"admin: {kind}, slowest", database, slowest[0][0], "ms", TARGET, False, details)


def capture_queries(visit: Visit, client: Client) -> list[str]:
    """Return the statements of a request that read. The request warms the caches up."""
    with CaptureQueriesContext(connection) as captured:
        response = visit.make(client)
    assert response.status_code in (200, 302), (visit, response.status_code)
    statements = (query["sql"] for query in captured.captured_queries)
    return [sql for sql in statements if sql.startswith(("SELECT", "WITH"))]


def measure_visit(visit: Visit, client: Client) -> float:
    """Return the milliseconds of the fastest of some requests."""
    best = float("inf")
    for _ in range(REPEATS):
        began = measure_computing()
        visit.make(client)
        best = min(best, (measure_computing() - began) * 1000)
        if best < TARGET / 2:
            break
    return best


def measure_computing() -> float:
    """Return the seconds for which this process and its session of a PostgreSQL server have computed."""
    seconds = time.process_time()
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            nanoseconds = Path(f"/proc/{cursor.fetchone()[0]}/schedstat").read_text().split()[0]
        seconds += int(nanoseconds) / 1e9
    return seconds


def count_rows_read(queries: Sequence[str]) -> int:
    """Return how many rows the statement reads that reads most of a table or index. SQLite does not count them."""
    if connection.vendor != "postgresql":
        return 0
    most = 0
    for sql in queries:
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) " + sql.replace("%", "%%"), [])
            [[answer]] = cursor.fetchall()
        [plan] = answer if isinstance(answer, list) else json.loads(answer)
        most = max(most, *_list_rows(plan["Plan"]))
    return most


def _list_rows(node: dict[str, Any]) -> Iterator[int]:
    """Yield the number of rows that each node of a plan reads from a table or index."""
    if "Relation Name" in node or "Index Name" in node:
        rejected = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
        yield int((node["Actual Rows"] + rejected) * node["Actual Loops"])
    yield 0
    for child in node.get("Plans", ()):
        yield from _list_rows(child)
