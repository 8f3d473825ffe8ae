"""Statements that count the outbox, for operators. Each reads a partial index and no further than a limit."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from notifications.events import BANDS, NotificationPriority
from notifications.storage.engine import get_engine, prepare_time, read_time
from notifications.storage.outbox import WAITS_ALONE_SQL, WAITS_FOR_DIGEST_SQL

MAX_COUNTED = 50_000
# So many ready rows are searched for the one that is due longest.
MAX_SEARCHED = 1000
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
    :param oldest_ready_at: since when the ready delivery is due that is due longest.
    :param oldest_due_at: the oldest time at which a waiting delivery is due; it may be in the future.
    """

    depth: dict[str, dict[str, int]]
    dead: int
    is_bounded: bool
    oldest_ready_at: datetime | None
    oldest_due_at: datetime | None


def measure_queue(using: str) -> QueueDepth:
    """Return the depth of the queue, with two statements."""
    engine = get_engine(using)
    counts: dict[str, dict[str, int]] = {}
    with engine.connection.cursor() as cursor:
        cursor.execute(DEPTH_SQL)
        for state, *numbers in cursor.fetchall():
            counts[state] = dict(zip(BAND_NAMES, numbers, strict=True))
        cursor.execute(OLDEST_SQL)
        oldest_ready, oldest_due = map(read_time, cursor.fetchone())
    dead = sum(counts.pop("dead").values())
    return QueueDepth(
        {state: counts[state] for state in CONDITIONS},
        min(dead, MAX_COUNTED),
        any(total > MAX_COUNTED for total in [dead, *(sum(bands.values()) for bands in counts.values())]),
        oldest_ready,
        oldest_due,
    )


def _count_bands(state: str, condition: str) -> str:
    columns = ", ".join(
        f"COUNT(CASE WHEN score BETWEEN {lowest} AND {highest} THEN 1 END)"
        for lowest, highest in (BANDS[priority] for priority in NotificationPriority)
    )
    return f"SELECT '{state}', {columns} FROM (SELECT score FROM klaxon_delivery WHERE {condition} {LIMIT}) AS counted"  # noqa: S608


BAND_NAMES = tuple(priority.name.lower() for priority in NotificationPriority)
DEPTH_SQL = "\nUNION ALL\n".join(
    f"SELECT * FROM ({_count_bands(state, condition)}) AS {state}_rows"  # noqa: S608
    for state, condition in {**CONDITIONS, "dead": "state = 'dead'"}.items()
)
# Since when a ready row is due: one that waited for a time keeps that time.
DUE_SINCE = "COALESCE(due_at, CASE WHEN send_at > created_at THEN send_at ELSE created_at END)"
OLDEST_SQL = f"""
    SELECT
        (
            SELECT MIN({DUE_SINCE}) FROM (
                SELECT due_at, notification_id FROM klaxon_delivery
                WHERE {CONDITIONS["ready"]} ORDER BY id LIMIT {MAX_SEARCHED}
            ) AS oldest JOIN klaxon_notification ON klaxon_notification.id = notification_id
        ),
        (SELECT due_at FROM klaxon_delivery WHERE {CONDITIONS["waiting"]} ORDER BY due_at LIMIT 1)"""  # noqa: S608


# For each score, the time since which the longest due delivery is due.
READY_SINCE_SQL = f"""
    SELECT score, MIN({DUE_SINCE})
    FROM (
        SELECT score, due_at, notification_id FROM klaxon_delivery WHERE {CONDITIONS["ready"]} ORDER BY id {LIMIT}
    ) AS ready JOIN klaxon_notification ON klaxon_notification.id = notification_id
    GROUP BY score"""  # noqa: S608
WAITING_SINCE_SQL = f"""
    SELECT score, MIN(due_at) FROM (
        SELECT score, due_at FROM klaxon_delivery WHERE {CONDITIONS["waiting"]} AND due_at <= %s ORDER BY due_at {LIMIT}
    ) AS waiting GROUP BY score"""  # noqa: S608


def find_band(score: int) -> str:
    """Return the name of the band that a score is in."""
    return next(item.name.lower() for item, (low, high) in BANDS.items() if low <= score <= high)


def measure_delays(using: str, now: datetime) -> dict[str, float]:
    """Return for each band by how many seconds its oldest due delivery is late; 0 if none is due.

    Of the ready ones, it reads the oldest :data:`MAX_COUNTED`, and of those that wait for a time, those that are due.
    """
    engine = get_engine(using)
    at = prepare_time(engine.connection, now)
    delays = dict.fromkeys(BAND_NAMES, 0.0)
    with engine.connection.cursor() as cursor:
        for sql, params in ((READY_SINCE_SQL, []), (WAITING_SINCE_SQL, [at])):
            cursor.execute(sql, params)
            for score, since in cursor.fetchall():
                band, moment = find_band(score), read_time(since)
                if moment is not None:
                    delays[band] = max(delays[band], (now - moment).total_seconds())
    return delays
