"""A statement that counts the rows of the log."""

from datetime import datetime
from typing import Any, NamedTuple

from django.apps import apps

from notifications.storage.engine import get_engine, prepare_time, read_time

# More rows would take too long to count for an answer over HTTP.
MAX_ROWS = 50_000


class LogCount(NamedTuple):
    """How many rows have the same kind, channel, success and reason.

    :param timed: the number of rows with a duration.
    :param seconds: the sum of the durations.
    """

    kind: str
    channel: str
    success: bool
    reason: str
    number: int
    timed: int
    seconds: float
    first: Any


def summarize(using: str, cluster_id: Any, begin: datetime, until: datetime) -> tuple[list[LogCount], datetime | None]:
    """Count the newest :data:`MAX_ROWS` log rows of a cluster in a time.

    Return the counts, and the time of the oldest row that was counted, or None if all were counted.
    """
    engine = get_engine(using)
    sql = f"""
        SELECT kind, channel, success, reason, COUNT(*), COUNT(duration), COALESCE(SUM(duration), 0), MIN(sent_at)
        FROM (
            SELECT kind, channel, success, reason, duration, sent_at FROM klaxon_notificationlog
            WHERE cluster_id = %s AND sent_at >= %s AND sent_at < %s ORDER BY sent_at DESC LIMIT {MAX_ROWS}
        ) AS newest
        GROUP BY kind, channel, success, reason"""  # noqa: S608 - a number
    times = [prepare_time(engine.connection, time) for time in (begin, until)]
    with engine.connection.cursor() as cursor:
        cursor.execute(sql, [_to_column(cluster_id, engine.connection), *times])
        rows = [LogCount(row[0], row[1], bool(row[2]), *row[3:]) for row in cursor.fetchall()]
    if sum(row.number for row in rows) < MAX_ROWS:
        return rows, None
    return rows, min(time for row in rows if (time := read_time(row.first)))


def _to_column(cluster_id: Any, connection: Any) -> Any:
    key = apps.get_model("klaxon", "NotificationLog")._meta.get_field("cluster").target_field
    return key.get_db_prep_value(cluster_id, connection)
