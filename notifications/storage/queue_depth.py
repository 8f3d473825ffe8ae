"""Statements that count the outbox, for operators. Each reads a partial index and no further than a limit."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from notifications.events import BANDS, NotificationPriority
from notifications.storage.engine import Engine, get_engine, read_time
from notifications.storage.outbox import WAITS_ALONE_SQL, WAITS_FOR_DIGEST_SQL

MAX_COUNTED = 50_000
LIMIT = f"LIMIT {MAX_COUNTED + 1}"
# The conditions of the partial indexes as literals: SQLite uses one only then.
CONDITIONS: Mapping[str, str] = {
    "ready": "state = 'ready'",
    "waiting": WAITS_ALONE_SQL,
    "digest": WAITS_FOR_DIGEST_SQL,
    "working": "state IN ('claimed', 'sending')",
}


class QueueDepth(NamedTuple):
    """The depth of the queue.

    :param depth: by state, the number of deliveries in each band.
    :param is_bounded: whether more than :data:`MAX_COUNTED` are in one state.
    """

    depth: dict[str, dict[str, int]]
    dead: int
    is_bounded: bool
    oldest_ready_at: datetime | None
    oldest_due_at: datetime | None


def measure_queue(using: str) -> QueueDepth:
    """Return the depth of the queue, with seven statements."""
    engine = get_engine(using)
    counts = {state: _count_bands(engine, condition) for state, condition in CONDITIONS.items()}
    [dead] = _fetch(engine, DEAD_SQL)
    totals = [*(sum(bands.values()) for bands in counts.values()), dead]
    return QueueDepth(
        counts,
        min(dead, MAX_COUNTED),
        any(total > MAX_COUNTED for total in totals),
        _read_first(engine, OLDEST_READY_SQL),
        _read_first(engine, OLDEST_DUE_SQL),
    )


DEAD_SQL = f"SELECT COUNT(*) FROM (SELECT 1 FROM klaxon_delivery WHERE state = 'dead' {LIMIT}) AS dead"  # noqa: S608
OLDEST_READY_SQL = """
    SELECT created_at FROM klaxon_notification WHERE id = (
        SELECT notification_id FROM klaxon_delivery WHERE state = 'ready' ORDER BY id LIMIT 1
    )"""
OLDEST_DUE_SQL = f"SELECT due_at FROM klaxon_delivery WHERE {CONDITIONS['waiting']} ORDER BY due_at LIMIT 1"  # noqa: S608


def _count_bands(engine: Engine, condition: str) -> dict[str, int]:
    names = [priority.name.lower() for priority in NotificationPriority]
    columns = ", ".join(
        f"COUNT(CASE WHEN score BETWEEN {lowest} AND {highest} THEN 1 END)"
        for lowest, highest in (BANDS[priority] for priority in NotificationPriority)
    )
    sql = f"SELECT {columns} FROM (SELECT score FROM klaxon_delivery WHERE {condition} {LIMIT}) AS counted"  # noqa: S608
    return dict(zip(names, _fetch(engine, sql), strict=True))


def _fetch(engine: Engine, sql: str) -> Any:
    with engine.connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()


def _read_first(engine: Engine, sql: str) -> datetime | None:
    row = _fetch(engine, sql)
    return read_time(row[0]) if row else None
