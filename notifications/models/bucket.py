"""Buckets of tokens: one row for each that is not full. What is not here is full.

A row keeps times instead of a count, so that arithmetic is exact: ``full_at`` is when the bucket will be full again if
nothing more is taken, ``seen_at`` the latest time that a taker has brought along.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import connections, models
from django.utils.translation import gettext_lazy as _

TABLE = "klaxon_bucket"
# By how much the times that workers bring along may differ. Who comes with an older one sees a clock that was set back.
CLOCKS_DIFFER = timedelta(hours=1)


class BucketQuerySet(models.QuerySet["Bucket"]):
    def lock(self, keys: Iterable[str], now: datetime) -> dict[str, "Bucket"]:
        """These buckets, locked until the transaction ends; what is missing is made, full. Two statements.

        All take their locks in the order of the keys, so that no two can wait for each other.
        """
        ordered = sorted(set(keys))
        rows = [(key, now, now, now) for key in ordered]
        # One statement makes or locks each row; were it two, a row could be forgotten in between.
        self._execute(
            f"""
            INSERT INTO {TABLE} (key, full_at, seen_at, promised_at) VALUES {_marks(rows)}
            ON CONFLICT (key) DO UPDATE SET key = excluded.key WHERE 1 = 0""",  # noqa: S608 - only our own words
            rows,
        )
        return {bucket.key: bucket for bucket in self.filter(key__in=ordered)}

    def write(self, buckets: Sequence["Bucket"]) -> None:
        """Store what was taken from buckets that are locked. One statement, or none."""
        rows = [(bucket.key, bucket.full_at, bucket.seen_at, bucket.promised_at) for bucket in buckets]
        if rows:
            self._execute(
                f"""
                WITH news(its_key, fullness, seen, promised) AS (VALUES {_marks(rows, self._types())})
                UPDATE {TABLE} SET full_at = fullness, seen_at = seen, promised_at = promised
                FROM news WHERE key = its_key""",  # noqa: S608
                rows,
            )

    def forget_full(self, now: datetime, limit: int = 1000) -> int:
        """Delete at most ``limit`` buckets that are full again; returns how many.

        Only those that have been full for an hour: whoever comes with a time as old as that finds nothing changed.
        """
        connection = self._connection()
        skip = "FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else ""
        sql = f"""
            WITH gone AS (SELECT id FROM {TABLE} WHERE full_at <= %s ORDER BY full_at LIMIT %s {skip})
            DELETE FROM {TABLE} WHERE id IN (SELECT id FROM gone) RETURNING id"""  # noqa: S608
        with connection.cursor() as cursor:
            cursor.execute(sql, [connection.ops.adapt_datetimefield_value(now - CLOCKS_DIFFER), limit])
            return len(cursor.fetchall())

    def _execute(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        connection = self._connection()
        adapt = connection.ops.adapt_datetimefield_value
        params = [adapt(value) if isinstance(value, datetime) else value for row in rows for value in row]
        with connection.cursor() as cursor:
            cursor.execute(sql, params)

    def _types(self) -> Sequence[str]:
        """PostgreSQL takes the types of a VALUES list from its first row; SQLite needs none."""
        is_postgres = self._connection().vendor == "postgresql"
        return ("::text", *["::timestamptz"] * 3) if is_postgres else ("",) * 4

    def _connection(self) -> Any:
        self._for_write = True
        return connections[self.db]


def _marks(rows: Sequence[Sequence[Any]], types: Sequence[str] = ("",) * 4) -> str:
    first = f"({', '.join(f'%s{name}' for name in types)})"
    return ", ".join([first, *["(%s, %s, %s, %s)"] * (len(rows) - 1)])


class Bucket(models.Model):
    """What was taken under one limit, such as that of one user."""

    key = models.CharField(_("key"), max_length=300)
    full_at = models.DateTimeField(_("full at"))
    seen_at = models.DateTimeField(_("last seen at"))
    promised_at = models.DateTimeField(_("promised until"))

    objects = BucketQuerySet.as_manager()

    class Meta:
        verbose_name = _("bucket")
        verbose_name_plural = _("buckets")
        constraints = [models.UniqueConstraint(fields=["key"], name="klaxon_bucket_once")]
        indexes = [models.Index(fields=["full_at"], name="klaxon_bucket_full_at")]

    def __str__(self) -> str:
        return self.key
