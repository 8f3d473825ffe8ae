"""Statements of the tables of figures. ``models.figure`` describes the tables.

Rows of ``klaxon_figuredelta`` are inserted by the transactions that write the log, and moved into ``klaxon_figure``.
Each move is one transaction, so a process that dies in the middle of it neither loses nor doubles a figure.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any, NamedTuple

from django.apps import apps
from django.db import transaction

from notifications.storage.engine import Engine, get_engine, prepare_time, read_time

TOTAL = datetime(1970, 1, 1, tzinfo=UTC)
"""The hour of the rows that are sums since the beginning, of all clusters together."""
SENT = "sent"
"""The outcome of a message that a provider has accepted. All other outcomes are reasons."""
LATENCY_LIMITS = (1, 5, 30, 60, 300, 3600)
"""Seconds. ``within_5`` is the number of messages that were accepted within 5 seconds of the time they were due."""
WITHIN = tuple(f"within_{seconds}" for seconds in LATENCY_LIMITS)
KEY_COLUMNS = ("hour", "cluster_id", "channel", "provider", "band", "kind", "outcome")
SUM_COLUMNS = ("count", "call_seconds", "latency_seconds", *WITHIN)
COLUMNS = ", ".join((*KEY_COLUMNS, *SUM_COLUMNS))
SEVERAL = "several"
"""The channel of drops of a whole call that was for several channels."""
PLACEHOLDERS = f"({', '.join(['%s'] * (len(KEY_COLUMNS) + len(SUM_COLUMNS)))})"
ROWS_PER_STATEMENT = 500

Sums = list[Any]
"""The values of :data:`SUM_COLUMNS`."""


class FigureKey(NamedTuple):
    """The values of :data:`KEY_COLUMNS`; the hour is aware."""

    hour: datetime
    cluster_id: Any
    channel: str
    provider: str
    band: str
    kind: str
    outcome: str


def build_deltas(using: str, rows: Iterable[Any]) -> tuple[str, list[Any]] | None:
    """Return the INSERT of the figures of log rows and its parameters; None if none of them counts.

    Only attempts and drops count, each in its ``band`` and, if it was sent, with its ``latency``.
    """
    figures = sum_log_rows(rows)
    return _build_insert(get_engine(using), "klaxon_figuredelta", list(figures.items())) if figures else None


def sum_log_rows(rows: Iterable[Any]) -> dict[FigureKey, Sums]:
    """Return the sums of log rows for each key."""
    groups: dict[tuple[Any, ...], list[Any]] = {}
    for row in rows:
        if row.kind in ("attempt", "drop"):
            # A tuple of what the row has: making a FigureKey for each of thousands of rows would take longer.
            key = (row.sent_at, row.cluster_id, row.channel, row.provider, row.band, row.kind, row.success, row.reason)
            groups.setdefault(key, []).append(row)
    figures: dict[FigureKey, Sums] = {}
    for (at, cluster_id, channel, provider, band, kind, success, reason), members in groups.items():
        figure = FigureKey(
            find_hour(at),
            cluster_id,
            SEVERAL if "," in channel else channel,
            provider,
            str(band),
            str(kind),
            SENT if success else str(reason),
        )
        _add(figures, figure, _sum(members, success))
    return figures


def find_hour(at: datetime) -> datetime:
    """Return the start of the hour in UTC."""
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _sum(rows: Sequence[Any], are_sent: bool) -> Sums:
    call_seconds = sum(row.duration or 0.0 for row in rows)
    if not are_sent:
        return [len(rows), call_seconds, 0.0, *(0 for _ in WITHIN)]
    latencies = [row.latency for row in rows]
    buckets = [0] * (len(WITHIN) + 1)
    for latency in latencies:
        buckets[bisect_left(LATENCY_LIMITS, latency)] += 1
    return [len(rows), call_seconds, sum(latencies), *list(accumulate(buckets))[:-1]]


def _add(figures: dict[FigureKey, Sums], key: FigureKey, sums: Sequence[Any]) -> None:
    known = figures.get(key)
    figures[key] = list(sums) if known is None else [a + b for a, b in zip(known, sums, strict=True)]


def _build_insert(
    engine: Engine, table: str, items: Sequence[tuple[FigureKey, Sums]], conflict: str = ""
) -> tuple[str, list[Any]]:
    connection = engine.connection
    to_key = apps.get_model("klaxon", "FigureDelta")._meta.get_field("cluster").get_db_prep_save
    params: list[Any] = []
    for key, sums in items:
        cluster_id = key.cluster_id if key.cluster_id is None else to_key(key.cluster_id, connection)
        params += [prepare_time(connection, key.hour), cluster_id, *key[2:], *sums]
    rows = ", ".join([PLACEHOLDERS] * len(items))
    return f"INSERT INTO {table} ({COLUMNS}) VALUES {rows} {conflict}", params  # noqa: S608


def move_deltas(using: str, limit: int = 2000) -> int:
    """Add up to ``limit`` of the oldest deltas to the hourly rows and the totals, and delete them; return their number.

    Any number of processes can call it. While one of them moves, the others return 0.
    """
    with transaction.atomic(using=using):
        engine = get_engine(using)
        if not engine.try_lock_transaction("klaxon.figures"):
            return 0
        # It is one statement, so that a delta which is committed meanwhile is either moved or left.
        sql = f"""
            DELETE FROM klaxon_figuredelta
            WHERE id IN (SELECT id FROM klaxon_figuredelta ORDER BY id LIMIT %s)
            RETURNING {COLUMNS}"""  # noqa: S608
        with engine.connection.cursor() as cursor:
            cursor.execute(sql, [limit])
            moved = cursor.fetchall()
        figures: dict[FigureKey, Sums] = {}
        for hour, *values in moved:
            key = FigureKey(read_time(hour) or TOTAL, *values[: len(KEY_COLUMNS) - 1])
            sums = values[len(KEY_COLUMNS) - 1 :]
            _add(figures, key, sums)
            _add(figures, key._replace(hour=TOTAL, cluster_id=None), sums)
        _add_to_table(engine, {key: sums for key, sums in figures.items() if key.cluster_id is None}, has_cluster=False)
        _add_to_table(engine, {key: sums for key, sums in figures.items() if key.cluster_id is not None}, True)
    return len(moved)


def _add_to_table(engine: Engine, figures: Mapping[FigureKey, Sums], has_cluster: bool) -> None:
    names = [name for name in KEY_COLUMNS if has_cluster or name != "cluster_id"]
    condition = "cluster_id IS NOT NULL" if has_cluster else "cluster_id IS NULL"
    sums = ", ".join(f"{name} = klaxon_figure.{name} + excluded.{name}" for name in SUM_COLUMNS)
    conflict = f"ON CONFLICT ({', '.join(names)}) WHERE {condition} DO UPDATE SET {sums}"
    items = list(figures.items())
    with engine.connection.cursor() as cursor:
        for start in range(0, len(items), ROWS_PER_STATEMENT):
            cursor.execute(*_build_insert(engine, "klaxon_figure", items[start : start + ROWS_PER_STATEMENT], conflict))


def read_totals(using: str) -> dict[FigureKey, Sums]:
    """Return the sums since the beginning, including what has not been moved yet, with one statement.

    Its one snapshot sees each figure either as a delta or in a total, never twice.
    """
    return _read(using, "hour = %s", "", [TOTAL])


def read_hours(using: str, since: datetime, until: datetime) -> dict[FigureKey, Sums]:
    """Return the sums of the hours that start at or after ``since`` and before ``until``, all of them together.

    They include what has not been moved yet.
    """
    return _read(using, "hour >= %s AND hour < %s", "WHERE hour >= %s AND hour < %s", [since, until])


def _read(using: str, condition: str, delta_condition: str, times: Sequence[datetime]) -> dict[FigureKey, Sums]:
    engine = get_engine(using)
    columns = ", ".join(KEY_COLUMNS[2:])
    sums = ", ".join(f"SUM({name})" for name in SUM_COLUMNS)
    rows = f"{columns}, {', '.join(SUM_COLUMNS)}"
    sql = f"""
        SELECT {columns}, {sums} FROM (
            SELECT {rows} FROM klaxon_figure WHERE {condition}
            UNION ALL
            SELECT {rows} FROM klaxon_figuredelta {delta_condition}
        ) AS figures GROUP BY {columns} ORDER BY {columns}"""  # noqa: S608 - constant SQL
    params = [prepare_time(engine.connection, time) for time in times]
    with engine.connection.cursor() as cursor:
        cursor.execute(sql, params * 2 if delta_condition else params)
        found = cursor.fetchall()
    size = len(KEY_COLUMNS) - 2
    # PostgreSQL returns the sum of whole numbers as a Decimal.
    return {
        FigureKey(times[0], None, *row[:size]): [int(row[size]), *map(float, row[size + 1 : size + 3])]
        + [int(value) for value in row[size + 3 :]]
        for row in found
    }
