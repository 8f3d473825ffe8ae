"""Statements that delete old rows, each in a short transaction, and measure the space of the database.

Only rows in a final state are deleted, and only in bounded numbers, so nothing else waits for long.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.apps import apps
from django.db import connections, models, transaction
from django.db.models.signals import post_delete, pre_delete

from notifications.storage.engine import Engine, fetch_ids, get_engine, prepare_time, read_time

FINAL_STATES = ("sent", "dropped", "cancelled", "expired", "merged")
"""No delivery leaves these states, except that a merged one can leave a digest that was not sent."""
FINAL = ", ".join(f"'{state}'" for state in FINAL_STATES)

# A delivery that can still change, or that ended only recently.
ALIVE_SQL = f"""
    SELECT 1 FROM klaxon_delivery d
    WHERE d.notification_id = n.id AND (d.state NOT IN ({FINAL}) OR d.settled_at >= %s)"""  # noqa: S608
# The digest that contains it can still be sent, and shows it then.
IN_DIGEST_SQL = f"""
    SELECT 1 FROM klaxon_delivery d
    JOIN klaxon_delivery digest ON digest.id = d.merged_into_id
    JOIN klaxon_delivery other ON other.notification_id = digest.notification_id
    WHERE d.notification_id = n.id AND d.merged_into_id IS NOT NULL AND other.state NOT IN ({FINAL})"""  # noqa: S608
# It escalates, or it is a page of a notification that does; an answer to a page answers the escalation.
ESCALATES_SQL = """
    SELECT 1 FROM klaxon_escalationrun r
    WHERE (r.notification_id = n.id OR r.notification_id = n.escalates_id)
    AND (r.due_at IS NOT NULL OR r.state = 'active' OR r.ended_at >= %s OR r.acknowledged_at >= %s)"""


class Page(NamedTuple):
    """Some notifications in the order of their ids.

    :param old: the ids of those that were created before the limit.
    :param last: the highest id; None if there was none.
    :param is_end: whether there is nothing old after them.
    """

    old: list[int]
    last: int | None
    is_end: bool


def read_page(using: str, after: int, limit: int, before: datetime) -> Page:
    """Return the next notifications after an id. Ids are in the order of creation, apart from concurrent sends."""
    sql = "SELECT id, created_at FROM klaxon_notification WHERE id > %s ORDER BY id LIMIT %s"
    with connections[using].cursor() as cursor:
        cursor.execute(sql, [after, limit])
        rows = cursor.fetchall()
    old = [pk for pk, created_at in rows if (time := read_time(created_at)) is not None and time < before]
    return Page(old, rows[-1][0] if rows else None, not old or len(rows) < limit)


def find_ended(using: str, ids: Sequence[int], before: datetime) -> list[int]:
    """Return those of the notifications that nothing needs any more, and whose deliveries all ended before a time."""
    if not ids:
        return []
    engine = get_engine(using)
    time = prepare_time(engine.connection, before)
    sql = f"""
        SELECT n.id FROM klaxon_notification n WHERE n.id {engine.in_array("bigint")}
        AND NOT EXISTS ({ALIVE_SQL}) AND NOT EXISTS ({IN_DIGEST_SQL}) AND NOT EXISTS ({ESCALATES_SQL})
        ORDER BY n.id"""  # noqa: S608 - constant SQL
    return sorted(fetch_ids(engine, sql, [engine.array_parameter(ids), time, time, time]))


def delete_deliveries(using: str, notification_ids: Sequence[int], limit: int) -> int:
    """Delete at most ``limit`` deliveries of ended notifications, with what is about them; return their number."""
    engine = get_engine(using)
    sql = f"""
        SELECT id FROM klaxon_delivery WHERE notification_id {engine.in_array("bigint")} AND state IN ({FINAL})
        LIMIT %s {engine.skip_locked}"""  # noqa: S608 - constant SQL
    with transaction.atomic(using=using):
        engine.prefer_indexes()
        ids = fetch_ids(engine, sql, [engine.array_parameter(notification_ids), limit])
        delete_delivery_rows(engine, ids)
    return len(ids)


def has_dependents(model: type[models.Model]) -> bool:
    """Return whether code or a table of the site depends on rows of a model, so that Django must delete them."""
    own = model._meta.app_label
    foreign = (relation.related_model._meta.app_label != own for relation in model._meta.related_objects)
    return any(foreign) or any(signal.has_listeners(model) for signal in (pre_delete, post_delete))


def delete_delivery_rows(engine: Engine, ids: Iterable[int]) -> None:
    """Delete deliveries, in the caller's transaction. Their tracking events go with them."""
    delivery = apps.get_model("klaxon", "Delivery")
    if has_dependents(delivery):
        delivery._base_manager.using(engine.using).filter(pk__in=list(ids)).delete()
        return
    keys = engine.array_parameter(sorted(ids))
    these = engine.in_array("bigint")
    with engine.connection.cursor() as cursor:
        cursor.execute(f"UPDATE klaxon_delivery SET merged_into_id = NULL WHERE merged_into_id {these}", [keys])  # noqa: S608
        cursor.execute(f"DELETE FROM klaxon_trackingevent WHERE delivery_id {these}", [keys])  # noqa: S608
        cursor.execute(f"DELETE FROM klaxon_delivery WHERE id {these}", [keys])  # noqa: S608


def find_children(model: type[models.Model]) -> list[tuple[str, str]]:
    """Return the tables and columns whose rows refer to rows of a model by a constraint."""
    fields: list[Any] = [relation.field for relation in model._meta.related_objects]
    return [(field.model._meta.db_table, field.column) for field in fields if field.db_constraint]


def delete_notifications(using: str, ids: Sequence[int]) -> int:
    """Delete notifications that have no deliveries and no attachments any more; return their number."""
    engine = get_engine(using)
    these = engine.in_array("bigint")
    lock = f"SELECT id FROM klaxon_notification WHERE id {these} ORDER BY id {engine.skip_locked}"  # noqa: S608
    # This is a separate statement, so that it sees deliveries that were added before the rows were locked.
    empty = f"""
        SELECT n.id FROM klaxon_notification n WHERE n.id {these}
        AND NOT EXISTS (SELECT 1 FROM klaxon_delivery d WHERE d.notification_id = n.id)
        AND NOT EXISTS (SELECT 1 FROM klaxon_attachedfile a WHERE a.notification_id = n.id)"""  # noqa: S608
    with transaction.atomic(using=using):
        engine.prefer_indexes()
        locked = fetch_ids(engine, lock, [engine.array_parameter(ids)])
        keys = sorted(fetch_ids(engine, empty, [engine.array_parameter(sorted(locked))]))
        notification = apps.get_model("klaxon", "Notification")
        if has_dependents(notification):
            notification._base_manager.using(using).filter(pk__in=keys).delete()
            return len(keys)
        with engine.connection.cursor() as cursor:
            # Of the deliveries and attachments, nothing is left.
            for table, column in find_children(notification):
                cursor.execute(f"DELETE FROM {table} WHERE {column} {these}", [engine.array_parameter(keys)])  # noqa: S608
            cursor.execute(f"DELETE FROM klaxon_notification WHERE id {these}", [engine.array_parameter(keys)])  # noqa: S608
    return len(keys)


def delete_attachments(using: str, notification_ids: Sequence[int], limit: int) -> int:
    """Delete at most ``limit`` attachments of ended notifications; return their number."""
    engine = get_engine(using)
    these = engine.in_array("bigint")
    sql = f"SELECT id, notification_id FROM klaxon_attachedfile WHERE notification_id {these} LIMIT %s"  # noqa: S608
    with transaction.atomic(using=using), engine.connection.cursor() as cursor:
        engine.prefer_indexes()
        cursor.execute(sql, [engine.array_parameter(notification_ids), limit])
        rows = cursor.fetchall()
        if rows:
            owners = sorted({owner for _pk, owner in rows})
            keys = [engine.array_parameter([pk for pk, _owner in rows])]
            cursor.execute(f"DELETE FROM klaxon_attachedfile WHERE id {these}", keys)  # noqa: S608
            cursor.execute(
                f"UPDATE klaxon_notification SET attachment_bytes = 0 WHERE id {these}",  # noqa: S608
                [engine.array_parameter(owners)],
            )
    return len(rows)


def find_log_rows(using: str, before: datetime, after: datetime | None, limit: int) -> list[tuple[int, datetime]]:
    """Return the keys and times of at most ``limit`` old rows of the log, the oldest first.

    :param after: the time where the last call ended, so that the index is not read from its beginning again.
    """
    engine = get_engine(using)
    begin = [] if after is None else [prepare_time(engine.connection, after)]
    sql = f"""
        SELECT id, sent_at FROM klaxon_notificationlog
        WHERE sent_at < %s{" AND sent_at >= %s" * bool(begin)} ORDER BY sent_at LIMIT %s"""  # noqa: S608
    with engine.connection.cursor() as cursor:
        cursor.execute(sql, [prepare_time(engine.connection, before), *begin, limit])
        return [(pk, time) for pk, text in cursor.fetchall() if (time := read_time(text)) is not None]


def delete_log_keys(engine: Engine, ids: Sequence[int]) -> None:
    """Delete rows of the log with their personal parts, within ``allow_log_changes()``."""
    these, keys = engine.in_array("bigint"), engine.array_parameter(ids)
    with engine.connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM klaxon_logpersonal WHERE log_id {these}", [keys])  # noqa: S608
        cursor.execute(f"DELETE FROM klaxon_notificationlog WHERE id {these}", [keys])  # noqa: S608


def read_rows(
    model: type[models.Model], using: str, field: str, before: datetime, after: int, limit: int
) -> list[tuple[int, datetime]]:
    """Return the keys and times of the next ``limit`` rows after a key, of a table whose keys are in the order of time.

    It reads no more than these, because the table has no index of the time. If none of them is old, the list is empty.
    """
    rows = list(model._base_manager.using(using).filter(pk__gt=after).order_by("pk").values_list("pk", field)[:limit])
    return rows if any(time < before for _pk, time in rows) else []
