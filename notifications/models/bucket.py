"""Token buckets: one row for each bucket that is not full. A bucket without a row is full.

A row stores times instead of a count, so that the arithmetic is exact: ``full_at`` is when the bucket will be full
again if no more tokens are taken, and ``seen_at`` is the latest time that a worker has passed.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import connections, models
from django.utils.translation import gettext_lazy as _

TABLE = "klaxon_bucket"
# The times that workers pass may differ by this much. If one differs by more, a clock was set back.
MAX_CLOCK_DIFFERENCE = timedelta(hours=1)


class BucketQuerySet(models.QuerySet["Bucket"]):
    def lock(self, keys: Iterable[str], now: datetime) -> dict[str, "Bucket"]:
        """Lock buckets until the transaction ends, and return them by key; missing buckets are created full.

        It takes two statements. Rows are locked in the order of their keys, so that transactions cannot deadlock.
        """
        ordered = sorted(set(keys))
        rows = [(key, now, now, now) for key in ordered]
        # One statement creates or locks each row. Between two statements, a row could be deleted.
        self._execute(
            f"""
            INSERT INTO {TABLE} (key, full_at, seen_at, promised_at) VALUES {_placeholders(rows)}
            ON CONFLICT (key) DO UPDATE SET key = excluded.key WHERE 1 = 0""",  # noqa: S608 - constant SQL
            rows,
        )
        return {bucket.key: bucket for bucket in self.filter(key__in=ordered)}

    def write(self, buckets: Sequence["Bucket"]) -> None:
        """Save locked buckets with one statement, or none if there are no buckets."""
        rows = [(bucket.key, bucket.full_at, bucket.seen_at, bucket.promised_at) for bucket in buckets]
        if rows:
            self._execute(
                f"""
                WITH buckets(bucket_key, new_full_at, new_seen_at, new_promised_at) AS (
                    VALUES {_placeholders(rows, self._types())}
                )
                UPDATE {TABLE} SET full_at = new_full_at, seen_at = new_seen_at, promised_at = new_promised_at
                FROM buckets WHERE key = bucket_key""",  # noqa: S608
                rows,
            )

    def delete_full(self, now: datetime, limit: int = 1000) -> int:
        """Delete at most ``limit`` buckets that have been full for an hour; return their number.

        The hour ensures that a worker whose clock is behind by :data:`MAX_CLOCK_DIFFERENCE` gets the same result.
        """
        connection = self._connection()
        skip = "FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else ""
        sql = f"""
            WITH deletable AS (SELECT id FROM {TABLE} WHERE full_at <= %s ORDER BY full_at LIMIT %s {skip})
            DELETE FROM {TABLE} WHERE id IN (SELECT id FROM deletable) RETURNING id"""  # noqa: S608
        with connection.cursor() as cursor:
            cursor.execute(sql, [connection.ops.adapt_datetimefield_value(now - MAX_CLOCK_DIFFERENCE), limit])
            return len(cursor.fetchall())

    def _execute(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        connection = self._connection()
        adapt = connection.ops.adapt_datetimefield_value
        params = [adapt(value) if isinstance(value, datetime) else value for row in rows for value in row]
        with connection.cursor() as cursor:
            cursor.execute(sql, params)

    def _types(self) -> Sequence[str]:
        """Return the casts of the first row, from which PostgreSQL takes the types of a VALUES list."""
        is_postgres = self._connection().vendor == "postgresql"
        return ("::text", *["::timestamptz"] * 3) if is_postgres else ("",) * 4

    def _connection(self) -> Any:
        self._for_write = True
        return connections[self.db]


def _placeholders(rows: Sequence[Sequence[Any]], types: Sequence[str] = ("",) * 4) -> str:
    first = f"({', '.join(f'%s{name}' for name in types)})"
    return ", ".join([first, *["(%s, %s, %s, %s)"] * (len(rows) - 1)])


class Bucket(models.Model):
    """The token bucket of one rate limit, such as that of one user."""

    key = models.CharField(_("key"), max_length=300)
    full_at = models.DateTimeField(_("full at"))
    seen_at = models.DateTimeField(_("last seen at"))
    promised_at = models.DateTimeField(_("reserved until"))

    objects = BucketQuerySet.as_manager()

    class Meta:
        verbose_name = _("bucket")
        verbose_name_plural = _("buckets")
        constraints = [models.UniqueConstraint(fields=["key"], name="klaxon_bucket_once")]
        indexes = [models.Index(fields=["full_at"], name="klaxon_bucket_full_at")]

    def __str__(self) -> str:
        return self.key
