"""A statement that counts the attempts of the last 24 hours in the log."""

from datetime import datetime, timedelta
from typing import NamedTuple

from notifications.storage.engine import get_engine, prepare_time, read_time
from notifications.storage.log_summary import MAX_ROWS

PERIOD, RECENT_PERIOD = timedelta(hours=24), timedelta(minutes=15)


class ChannelAttempts(NamedTuple):
    """What became of the attempts of a channel.

    :param succeeded: accepted by a provider within 24 hours.
    :param failed: all others within 24 hours. A delivery that needed three attempts has failed twice.
    :param recent_succeeded: those of the last 15 minutes.
    :param recent_failed: those of the last 15 minutes.
    :param last_success: when a provider accepted one; None if none did within 24 hours.
    """

    channel: str
    succeeded: int
    failed: int
    recent_succeeded: int
    recent_failed: int
    last_success: datetime | None


def count_attempts(using: str, now: datetime) -> list[ChannelAttempts]:
    """Count the attempts among the newest :data:`MAX_ROWS` log rows of the last 24 hours, by channel."""
    engine = get_engine(using)
    sql = f"""
        SELECT
            channel,
            COUNT(CASE WHEN success THEN 1 END),
            COUNT(CASE WHEN NOT success THEN 1 END),
            COUNT(CASE WHEN success AND sent_at >= %s THEN 1 END),
            COUNT(CASE WHEN NOT success AND sent_at >= %s THEN 1 END),
            MAX(CASE WHEN success THEN sent_at END)
        FROM (
            SELECT kind, channel, success, sent_at FROM klaxon_notificationlog
            WHERE sent_at >= %s AND sent_at <= %s ORDER BY sent_at DESC LIMIT {MAX_ROWS}
        ) AS newest
        WHERE kind = 'attempt'
        GROUP BY channel ORDER BY channel"""  # noqa: S608 - a number
    recent, begin = now - RECENT_PERIOD, now - PERIOD
    times = [prepare_time(engine.connection, time) for time in (recent, recent, begin, now)]
    with engine.connection.cursor() as cursor:
        cursor.execute(sql, times)
        return [ChannelAttempts._make((*row[:-1], read_time(row[-1]))) for row in cursor.fetchall()]
