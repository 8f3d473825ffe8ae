"""The detection of a flood."""

from django.db import connections

from notifications import conf
from notifications.storage.outbox import TABLE


def is_flooded(using: str) -> bool:
    """Return whether more than ``THROTTLE_DEPTH`` deliveries are ready. Runs one statement, or none if the depth is 0.

    It counts no further than the depth, and reads the index of ready deliveries, as claiming does.
    """
    depth = conf.current().throttle_depth
    if not depth:
        return False
    sql = f"""
        SELECT COUNT(*) FROM (
            SELECT id FROM {TABLE} WHERE state = 'ready' ORDER BY score DESC, id LIMIT %s
        ) AS first"""  # noqa: S608 - only a table name is formatted in
    with connections[using].cursor() as cursor:
        cursor.execute(sql, [depth + 1])
        return bool(cursor.fetchone()[0] > depth)
