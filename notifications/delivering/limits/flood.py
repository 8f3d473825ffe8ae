"""Emergency throttling: noticing that more is ready than the site wants to wait behind."""

from django.db import connections

from notifications import conf
from notifications.storage.outbox import TABLE


def is_flooded(using: str) -> bool:
    """Whether more than ``THROTTLE_DEPTH`` deliveries are ready. One statement; none while that is 0.

    It never counts further than that, and reads the index of what is ready, as claiming does.
    """
    depth = conf.current().throttle_depth
    if not depth:
        return False
    sql = f"""
        SELECT COUNT(*) FROM (
            SELECT id FROM {TABLE} WHERE state = 'ready' ORDER BY score DESC, id LIMIT %s
        ) AS first"""  # noqa: S608 - only our own words are formatted in
    with connections[using].cursor() as cursor:
        cursor.execute(sql, [depth + 1])
        return bool(cursor.fetchone()[0] > depth)
