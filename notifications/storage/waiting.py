"""What waits in the outbox: how much it is, and which whole sends can make room for a more urgent one.

A whole send is a notification of which every delivery still waits, held or ready. Digests and batches are never among
them: they stand for what other sends have merged into them.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connections

from notifications.models.delivery import Delivery
from notifications.models.log import NotificationLog
from notifications.models.notification import Notification
from notifications.outcomes import DeliveryState, Reason
from notifications.storage.in_array import in_array

TASK = "klaxon.queue_limit"
AT_ONCE = 1000
# As literals, so that the partial indexes serve: together they are all that waits, retries among it.
READY = "d.state = 'ready'"
ALONE = "d.state IN ('held', 'retry') AND d.reason NOT IN ('batch', 'digest')"
FOR_OTHERS = "d.state = 'held' AND d.reason IN ('batch', 'digest')"


class Place(NamedTuple):
    """The whole outbox, or that of one cluster.

    :param cluster: the primary key of a cluster; None for all.
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


def wait_for_turn(using: str) -> None:
    """Wait until no other transaction that counts has what it queued uncommitted; others then wait for this one.

    There is one such lock for a partition, and it is held until the transaction ends. On SQLite a transaction that
    writes is alone anyway.
    """
    connection = connections[using]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s), hashtext(current_schema()))", [TASK])


def depth(place: Place) -> int:
    """How many deliveries wait."""
    join = "" if place.cluster is None else "JOIN klaxon_notification n ON n.id = d.notification_id"
    counts = [
        f"(SELECT COUNT(*) FROM klaxon_delivery d {join} WHERE {place.condition} AND {states})"  # noqa: S608 - our own words
        for states in (READY, ALONE, FOR_OTHERS)
    ]
    return _number(place.using, f"SELECT {' + '.join(counts)}", place.params * len(counts))


def most_to_shed(place: Place, below: int) -> int:
    """How many deliveries of whole sends wait with a lower score."""
    sql = f"{_whole(place)} SELECT COALESCE(SUM(deliveries), 0) FROM whole"  # noqa: S608 - our own words
    return _number(place.using, sql, _params(place, below))


def least_urgent(place: Place, below: int, count: int, without: Collection[int] = ()) -> dict[int, int]:
    """Whole sends with a lower score that have so many deliveries together; fewer where there are no more.

    Those with the lowest score come first, of these the newest. Returns the number of deliveries by notification.

    :param without: notifications to leave out.
    """
    using = place.using
    excluded, keys = in_array(without, Delivery._meta.get_field("notification").target_field, using)
    sql = f"""{_whole(place)}, ordered AS (
            SELECT its_id, deliveries, SUM(deliveries) OVER (ORDER BY score, its_id DESC) AS so_far
            FROM whole WHERE NOT (its_id {excluded})
        )
        SELECT its_id, deliveries FROM ordered WHERE so_far - deliveries < %s ORDER BY so_far"""  # noqa: S608 - our own words
    with connections[using].cursor() as cursor:
        cursor.execute(sql, [*_params(place, below), keys, count])
        return {row[0]: row[1] for row in cursor.fetchall()}


def _whole(place: Place) -> str:
    held = f"{ALONE} AND d.state = 'held'"
    waits = " UNION ALL ".join(
        f"SELECT d.notification_id AS its_id, d.score FROM klaxon_delivery d WHERE {states} AND d.score < %s"  # noqa: S608
        for states in (READY, held, FOR_OTHERS)
    )
    return f"""
        WITH waits AS (
            SELECT its_id, COUNT(*) AS deliveries, MIN(score) AS score FROM ({waits}) AS d GROUP BY its_id
        ), whole AS (
            SELECT its_id, deliveries, score FROM waits JOIN klaxon_notification n ON n.id = its_id
            WHERE {place.condition} AND n.gathers = '' AND NOT EXISTS (
                SELECT 1 FROM klaxon_delivery d WHERE d.notification_id = its_id AND d.state NOT IN ('held', 'ready')
            )
        )"""  # noqa: S608 - our own words


def _params(place: Place, below: int) -> list[Any]:
    return [below] * 3 + place.params


def _number(using: str, sql: str, params: list[Any]) -> int:
    with connections[using].cursor() as cursor:
        cursor.execute(sql, params)
        return int(cursor.fetchone()[0])


def locked_whole(using: str, notification_ids: Sequence[int]) -> set[int]:
    """Those of these sends of which every delivery waits and is locked now, until the transaction ends."""
    return {pk for some in _parts(notification_ids) for pk in _locked_whole(using, some)}


def _parts(notification_ids: Sequence[int]) -> Iterator[Sequence[int]]:
    return (notification_ids[start : start + AT_ONCE] for start in range(0, len(notification_ids), AT_ONCE))


def _locked_whole(using: str, notification_ids: Collection[int]) -> Iterator[int]:
    connection = connections[using]
    these, keys = in_array(notification_ids, Notification._meta.pk, using)
    # Workers claim what they find without waiting, and so must this.
    lock = "FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else ""
    mine = f"""
        SELECT its_id, COUNT(*) FROM (
            SELECT notification_id AS its_id FROM klaxon_delivery
            WHERE notification_id {these} AND state IN ('held', 'ready') {lock}
        ) AS locked GROUP BY its_id"""  # noqa: S608
    every = f"SELECT notification_id, COUNT(*) FROM klaxon_delivery WHERE notification_id {these} GROUP BY 1"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(mine, [keys])
        locked = dict(cursor.fetchall())
        # Asked afterwards, so that it also counts what a worker has claimed in between.
        cursor.execute(every, [keys])
        return iter([pk for pk, count in cursor.fetchall() if locked.get(pk) == count])


def shed(using: str, notification_ids: Sequence[int], now: datetime) -> None:
    """Drop all that waits of these sends, each delivery with a row in the log."""
    for some in _parts(notification_ids):
        waiting = Delivery.objects.using(using).filter(
            notification__in=some, state__in=(DeliveryState.HELD, DeliveryState.READY)
        )
        # What was shed waits no more, so the next are others.
        while rows := list(waiting.order_by("pk")[:AT_ONCE]):
            _drop(using, rows, now)


def _drop(using: str, rows: list[Delivery], now: datetime) -> None:
    outbox, drop = Delivery.objects.using(using), NotificationLog.Kind.DROP
    outbox.filter(pk__in=[row.pk for row in rows]).update(
        state=DeliveryState.DROPPED, reason=Reason.SHED, settled_at=now, due_at=None
    )
    known = outbox.with_notifications(rows)
    NotificationLog.objects.using(using).append(NotificationLog.of(row, drop, now, reason=Reason.SHED) for row in known)
