"""Count the deliveries that wait in the outbox, and find sends that can make room for a more urgent one.

A send is *untouched* if all its deliveries still wait, held or ready. Digests and batches never count as untouched,
because they contain what other sends have merged into them.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connections

from notifications.models.delivery import Delivery
from notifications.models.log import NotificationLog
from notifications.models.notification import Notification
from notifications.outcomes import DeliveryState, Reason
from notifications.storage.engine import get_engine, in_array

CHUNK_SIZE = 1000
# Literals, so that the partial indexes are used. Together they are all deliveries that wait, including retries.
READY = "d.state = 'ready'"
WAITS_ALONE = "d.state IN ('held', 'retry') AND d.reason NOT IN ('batch', 'digest')"
WAITS_FOR_DIGEST = "d.state = 'held' AND d.reason IN ('batch', 'digest')"


class OutboxScope(NamedTuple):
    """The whole outbox, or the part of it that belongs to one cluster.

    :param cluster: the primary key of a cluster; None for the whole outbox.
    """

    using: str
    cluster: Any = None

    @property
    def condition(self) -> str:
        return "TRUE" if self.cluster is None else "n.cluster_id = %s"

    @property
    def params(self) -> list[Any]:
        if self.cluster is None:
            return []
        field: Any = Notification._meta.get_field("cluster")
        return [field.get_db_prep_value(self.cluster, connections[self.using])]


def count_waiting(scope: OutboxScope) -> int:
    """Return the number of deliveries that wait."""
    join = "" if scope.cluster is None else "JOIN klaxon_notification n ON n.id = d.notification_id"
    counts = [
        f"(SELECT COUNT(*) FROM klaxon_delivery d {join} WHERE {scope.condition} AND {states})"  # noqa: S608 - constant SQL
        for states in (READY, WAITS_ALONE, WAITS_FOR_DIGEST)
    ]
    return _fetch_number(scope.using, f"SELECT {' + '.join(counts)}", scope.params * len(counts))


def count_sheddable(scope: OutboxScope, below: int) -> int:
    """Return the number of deliveries of untouched sends with a score lower than ``below``."""
    sql = f"{_untouched_sends(scope)} SELECT COALESCE(SUM(deliveries), 0) FROM untouched"  # noqa: S608 - constant SQL
    return _fetch_number(scope.using, sql, _params(scope, below))


def find_least_urgent(scope: OutboxScope, below: int, count: int, without: Collection[int] = ()) -> dict[int, int]:
    """Find untouched sends with a score lower than ``below`` that have at least ``count`` deliveries in total.

    There are fewer deliveries if no more such sends exist. Sends with the lowest score come first; among these, the
    newest. Returns the number of deliveries by notification.

    :param without: notifications to leave out.
    """
    using = scope.using
    excluded, keys = in_array(without, Delivery._meta.get_field("notification").target_field, using)
    sql = f"""{_untouched_sends(scope)}, ordered AS (
            SELECT send_id, deliveries, SUM(deliveries) OVER (ORDER BY score, send_id DESC) AS running_total
            FROM untouched WHERE NOT (send_id {excluded})
        )
        SELECT send_id, deliveries FROM ordered WHERE running_total - deliveries < %s ORDER BY running_total"""  # noqa: S608 - constant SQL
    with connections[using].cursor() as cursor:
        cursor.execute(sql, [*_params(scope, below), keys, count])
        return {row[0]: row[1] for row in cursor.fetchall()}


def _untouched_sends(scope: OutboxScope) -> str:
    held = f"{WAITS_ALONE} AND d.state = 'held'"
    waiting = " UNION ALL ".join(
        f"SELECT d.notification_id AS send_id, d.score FROM klaxon_delivery d WHERE {states} AND d.score < %s"  # noqa: S608
        for states in (READY, held, WAITS_FOR_DIGEST)
    )
    return f"""
        WITH waiting AS (
            SELECT send_id, COUNT(*) AS deliveries, MIN(score) AS score FROM ({waiting}) AS d GROUP BY send_id
        ), untouched AS (
            SELECT send_id, deliveries, score FROM waiting JOIN klaxon_notification n ON n.id = send_id
            WHERE {scope.condition} AND n.digest_kind = '' AND NOT EXISTS (
                SELECT 1 FROM klaxon_delivery d WHERE d.notification_id = send_id AND d.state NOT IN ('held', 'ready')
            )
        )"""  # noqa: S608 - constant SQL


def _params(scope: OutboxScope, below: int) -> list[Any]:
    return [below] * 3 + scope.params


def _fetch_number(using: str, sql: str, params: list[Any]) -> int:
    with connections[using].cursor() as cursor:
        cursor.execute(sql, params)
        return int(cursor.fetchone()[0])


def lock_untouched(using: str, notification_ids: Sequence[int]) -> set[int]:
    """Lock the waiting deliveries of these sends until the transaction ends, and return the untouched sends.

    A send with a delivery that another transaction has locked is not returned.
    """
    return {pk for chunk in _chunks(notification_ids) for pk in _lock_chunk(using, chunk)}


def _chunks(notification_ids: Sequence[int]) -> Iterator[Sequence[int]]:
    return (notification_ids[start : start + CHUNK_SIZE] for start in range(0, len(notification_ids), CHUNK_SIZE))


def _lock_chunk(using: str, notification_ids: Collection[int]) -> Iterator[int]:
    engine = get_engine(using)
    condition, keys = in_array(notification_ids, Notification._meta.pk, using)
    # Like the workers' claims, this statement must not wait for locked rows.
    waiting_sql = f"""
        SELECT send_id, COUNT(*) FROM (
            SELECT notification_id AS send_id FROM klaxon_delivery
            WHERE notification_id {condition} AND state IN ('held', 'ready') {engine.skip_locked}
        ) AS locked GROUP BY send_id"""  # noqa: S608
    all_sql = f"SELECT notification_id, COUNT(*) FROM klaxon_delivery WHERE notification_id {condition} GROUP BY 1"  # noqa: S608
    with engine.connection.cursor() as cursor:
        cursor.execute(waiting_sql, [keys])
        locked = dict(cursor.fetchall())
        # This runs second, so that it also counts deliveries that a worker has claimed in between.
        cursor.execute(all_sql, [keys])
        return iter([pk for pk, count in cursor.fetchall() if locked.get(pk) == count])


def shed(using: str, notification_ids: Sequence[int], now: datetime) -> None:
    """Drop all waiting deliveries of these sends, each with a row in the log."""
    for chunk in _chunks(notification_ids):
        waiting = Delivery.objects.using(using).filter(
            notification__in=chunk, state__in=(DeliveryState.HELD, DeliveryState.READY)
        )
        # Dropped deliveries no longer wait, so each query returns others.
        while rows := list(waiting.order_by("pk")[:CHUNK_SIZE]):
            _drop(using, rows, now)


def _drop(using: str, rows: list[Delivery], now: datetime) -> None:
    outbox, log = Delivery.objects.using(using), NotificationLog.objects.using(using)
    outbox.filter(pk__in=[row.pk for row in rows]).update(
        state=DeliveryState.DROPPED, reason=Reason.SHED, settled_at=now, due_at=None
    )
    log.append(
        NotificationLog.for_delivery(row, NotificationLog.Kind.DROP, now, reason=Reason.SHED)
        for row in outbox.with_notifications(rows)
    )
