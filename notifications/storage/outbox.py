"""The statements of the outbox, for PostgreSQL and SQLite.

They are written by hand because each must be *one* statement: a worker that reads first and writes later races the
others, and on SQLite fails with "database is locked". State names stand as literals, so that the partial indexes serve.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.apps import apps
from django.db import connections

from notifications.core.transitions import is_allowed
from notifications.outcomes import END_STATES

TABLE = "klaxon_delivery"
STRIKES_ALLOWED = 3
# Literals that stand in partial indexes word for word.
WAITS_ALONE = "state IN ('held', 'retry') AND reason NOT IN ('batch', 'digest')"
WAITS_FOR_OTHERS = "state = 'held' AND reason IN ('batch', 'digest')"
# 1 for a row that is tried alone, see begin_trial().
ON_TRIAL = "(CASE WHEN reason = 'on_trial' THEN 1 ELSE 0 END)"
# Rows in one statement: SQLite takes 32,766 parameters.
AT_ONCE = 1000
# What no digest came for goes out alone.
FORGOTTEN_AFTER = timedelta(hours=1)
# The columns that delivering needs.
CLAIMED = (
    "id", "notification_id", "channel", "recipient_id", "recipient_key", "address", "state", "reason", "score",
    "attempts", "strikes", "owner", "fence", "epoch", "provider",
)  # fmt: skip
MOST_SUSPECTS = 1000
# A provider has failed with it before, so it may be what the provider cannot bear.
WAS_REFUSED = "(attempts > 0 OR reason IN ('configuration', 'temporary', 'lost_contact', 'failed_over'))"
PROBES_AMONG = 200


@dataclass(frozen=True)
class Lost:
    """A row to take back from the worker that held it under this fence; ``died``: 1 if that worker is dead."""

    id: int
    fence: int
    died: int


@dataclass(frozen=True)
class StateChange:
    """The outcome of one delivery, to be written if the row is still in ``was`` under this fence.

    ``attempts_refunded`` is 1 where an attempt was counted that is not to count.
    """

    id: int
    fence: int
    was: str
    state: str
    reason: str = ""
    due_at: datetime | None = None
    provider: str = ""
    provider_message_id: str = ""
    attempts_refunded: int = 0


@dataclass(frozen=True)
class DigestRemoval:
    """A merged row that leaves its digest or batch, which somebody has claimed under this fence."""

    id: int
    state: str
    reason: str
    whole: int
    fence: int


def claim_statement(
    using: str,
    owner: str,
    lease: datetime,
    limit: int,
    notification_ids: Sequence[int],
    oldest_first: bool,
    without: Collection[str],
    at_least: int,
) -> tuple[str, list[Any]]:
    connection = connections[using]
    among, ids = _among("AND notification_id IN", notification_ids)
    apart, names = _among("AND channel NOT IN", without)
    floor = f"AND score >= {int(at_least)}" if at_least else ""
    skip = "FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else ""
    order = "id" if oldest_first else "score DESC, id"
    sql = f"""
        WITH picked AS (
            SELECT id AS picked_id FROM {TABLE} WHERE state = 'ready' {among} {apart} {floor}
            ORDER BY {order} LIMIT %s {skip}
        )
        UPDATE {TABLE} SET state = 'claimed', owner = %s, lease = %s, fence = fence + 1
        WHERE state = 'ready' AND id IN (SELECT picked_id FROM picked)
        RETURNING {", ".join(CLAIMED)}"""  # noqa: S608 - only our own words are formatted in
    return sql, [*ids, *names, limit, owner, _time(connection, lease)]


def claim_probe_statement(
    using: str, owner: str, lease: datetime, channel: str, notification_ids: Sequence[int]
) -> tuple[str, list[Any]]:
    connection = connections[using]
    among, ids = _among("AND notification_id IN", notification_ids)
    skip = "FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else ""
    sql = f"""
        WITH newest AS (
            SELECT id AS its_id, score AS its_score, CASE WHEN {WAS_REFUSED} THEN 1 ELSE 0 END AS was_refused
            FROM {TABLE} WHERE state = 'ready' AND channel = %s {among} ORDER BY id DESC LIMIT {PROBES_AMONG}
        ), picked AS (
            SELECT id AS picked_id FROM {TABLE} WHERE state = 'ready' AND id = (
                SELECT its_id FROM newest ORDER BY was_refused, its_score DESC, its_id DESC LIMIT 1
            ) {skip}
        )
        UPDATE {TABLE} SET state = 'claimed', owner = %s, lease = %s, fence = fence + 1
        WHERE state = 'ready' AND id IN (SELECT picked_id FROM picked)
        RETURNING {", ".join(CLAIMED)}"""  # noqa: S608 - only our own words are formatted in
    return sql, [channel, *ids, owner, _time(connection, lease)]


def mark_sending(using: str, fences: Sequence[tuple[int, int]], lease: datetime) -> set[int]:
    connection = connections[using]
    if not fences:
        return set()
    values, params = _source(connection, fences, ("bigint", "integer"))
    sql = f"""
        WITH ours(our_id, our_fence) AS ({values})
        UPDATE {TABLE} SET state = 'sending', attempts = attempts + 1, lease = %s
        FROM ours WHERE id = our_id AND fence = our_fence AND state = 'claimed'
        RETURNING id"""  # noqa: S608
    return _ids(connection, sql, [*params, _time(connection, lease)])


def settle(using: str, settlements: Sequence[StateChange], now: datetime) -> set[int]:
    if not settlements:
        return set()
    if len(settlements) > AT_ONCE:
        return settle(using, settlements[:AT_ONCE], now) | settle(using, settlements[AT_ONCE:], now)
    wrong = [item for item in settlements if not is_allowed(item.was, item.state)]
    if wrong:
        raise ValueError(
            f"No delivery goes from '{wrong[0].was}' to '{wrong[0].state}'; see notifications.core.transitions."
        )
    connection = connections[using]
    rows = [
        (
            item.id,
            item.fence,
            item.was,
            item.state,
            item.reason,
            _time(connection, item.due_at),
            item.provider,
            item.provider_message_id,
            _time(connection, now if item.state in END_STATES else None),
            item.attempts_refunded,
        )
        for item in settlements
    ]
    types = ("bigint", "integer", "text", "text", "text", "timestamptz", "text", "text", "timestamptz", "integer")
    values, params = _source(connection, rows, types)
    sql = f"""
        WITH news(its_id, its_fence, was, next, why, due, carrier, message_id, settled, attempts_refunded) AS ({values})
        UPDATE {TABLE} SET state = next, reason = why, due_at = due, provider = carrier,
            provider_message_id = message_id, settled_at = settled, attempts = attempts - attempts_refunded,
            strikes = strikes - {ON_TRIAL}, owner = '', lease = NULL
        FROM news WHERE id = its_id AND fence = its_fence AND state = was
        RETURNING id"""  # noqa: S608
    return _ids(connection, sql, params)


def release_due(using: str, now: datetime, limit: int) -> int:
    return _release(using, WAITS_ALONE, now, limit)


def release_forgotten(using: str, now: datetime, limit: int) -> int:
    return _release(using, WAITS_FOR_OTHERS, now - FORGOTTEN_AFTER, limit)


def _release(using: str, waits: str, due: datetime, limit: int) -> int:
    connection = connections[using]
    skip = "FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else ""
    # WITH, as in the claim: PostgreSQL may run a subquery in IN () once for every row, and each run then skips what the
    # run before has locked, past the limit.
    sql = f"""
        WITH due AS (
            SELECT id AS due_id FROM {TABLE} WHERE {waits} AND due_at <= %s ORDER BY due_at LIMIT %s {skip}
        )
        UPDATE {TABLE} SET state = 'ready', due_at = NULL WHERE {waits} AND id IN (SELECT due_id FROM due)
        RETURNING id"""  # noqa: S608
    return len(_ids(connection, sql, [_time(connection, due), limit]))


def alone_with(task: str, using: str) -> bool:
    """Whether nobody else is at this task, until the transaction ends. On SQLite its first write sees to that."""
    connection = connections[using]
    if connection.vendor != "postgresql":
        return True
    with connection.cursor() as cursor:
        # Each schema is a partition with a task of its own.
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtext(%s), hashtext(current_schema()))", [task])
        return bool(cursor.fetchone()[0])


def take_waiting(using: str, recipient_keys: Sequence[str]) -> set[int]:
    """Lock what these recipients have waiting for a digest or batch, until the transaction ends; which that is."""
    connection = connections[using]
    if not recipient_keys:
        return set()
    skip = "FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else ""
    marks = ", ".join(["%s"] * len(recipient_keys))
    # A write, so that on SQLite the transaction begins as one that writes.
    sql = f"""
        UPDATE {TABLE} SET owner = '' WHERE id IN (
            SELECT id FROM {TABLE} WHERE {WAITS_FOR_OTHERS} AND recipient_key IN ({marks}) {skip}
        )
        RETURNING id"""  # noqa: S608
    return _ids(connection, sql, recipient_keys)


def merge(using: str, pairs: Sequence[tuple[int, int]], now: datetime) -> set[int]:
    connection = connections[using]
    if not pairs:
        return set()
    if len(pairs) > AT_ONCE:
        return merge(using, pairs[:AT_ONCE], now) | merge(using, pairs[AT_ONCE:], now)
    rows = [(item, into, _time(connection, now)) for item, into in pairs]
    values, params = _source(connection, rows, ("bigint", "bigint", "timestamptz"))
    sql = f"""
        WITH news(its_id, whole, at) AS ({values})
        UPDATE {TABLE} SET state = 'merged', merged_into_id = whole, settled_at = at, due_at = NULL
        FROM news WHERE id = its_id AND state = 'held'
        RETURNING id"""  # noqa: S608
    return _ids(connection, sql, params)


def leave(using: str, leaving: Sequence[DigestRemoval], now: datetime) -> set[int]:
    connection = connections[using]
    if not leaving:
        return set()
    if len(leaving) > AT_ONCE:
        return leave(using, leaving[:AT_ONCE], now) | leave(using, leaving[AT_ONCE:], now)
    if wrong := [item.state for item in leaving if not is_allowed("merged", item.state)]:
        raise ValueError(f"No delivery goes from 'merged' to '{wrong[0]}'; see notifications.core.transitions.")
    rows = [(row.id, row.state, row.reason, row.whole, row.fence, _time(connection, now)) for row in leaving]
    values, params = _source(connection, rows, ("bigint", "text", "text", "bigint", "integer", "timestamptz"))
    # Locked, so that whoever has taken the digest over meanwhile does not send it with what leaves it here.
    lock = "FOR UPDATE" if connection.vendor == "postgresql" else ""
    sql = f"""
        WITH news(its_id, next, why, whole, its_fence, at) AS ({values}), ours AS (
            SELECT id AS our_id FROM {TABLE}
            WHERE state = 'claimed' AND (id, fence) IN (SELECT whole, its_fence FROM news) {lock}
        )
        UPDATE {TABLE} SET state = next, reason = why, merged_into_id = NULL, settled_at = at
        FROM news WHERE id = its_id AND state = 'merged' AND whole IN (SELECT our_id FROM ours)
        RETURNING id"""  # noqa: S608
    return _ids(connection, sql, params)


def renew(using: str, owner: str, ids: Collection[int], lease: datetime) -> int:
    connection = connections[using]
    if not ids:
        return 0
    marks = ", ".join(["%s"] * len(ids))
    # Rows that a thread is just settling are left out: two statements that lock many rows in different orders deadlock.
    skip = "FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else ""
    sql = f"""
        UPDATE {TABLE} SET lease = %s WHERE id IN (
            SELECT id FROM {TABLE} WHERE id IN ({marks}) AND state = 'claimed' AND owner = %s {skip}
        )"""  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(sql, [_time(connection, lease), *ids, owner])
        return cursor.rowcount


def suspects(using: str, owners: Sequence[str], now: datetime) -> list[tuple[int, int, str]]:
    """Rows whose lease ran out, or that belong to one of ``owners``: id, fence and owner."""
    connection = connections[using]
    marks = ", ".join(["%s"] * len(owners)) or "NULL"
    sql = f"""
        SELECT id, fence, owner FROM {TABLE}
        WHERE state IN ('claimed', 'sending') AND (lease < %s OR owner IN ({marks}))
        ORDER BY id LIMIT {MOST_SUSPECTS}"""  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(sql, [_time(connection, now), *owners])
        return cursor.fetchall()


def take_back_statement(using: str, lost: Sequence[Lost], now: datetime) -> tuple[str, list[Any]]:
    # One guarded UPDATE: a worker that is only slow, and settles at this moment, either wins the row or finds its
    # fence gone.
    connection = connections[using]
    rows = [(item.id, item.fence, item.died, _time(connection, now)) for item in lost]
    values, params = _source(connection, rows, ("bigint", "integer", "integer", "timestamptz"))
    # The strike of a row on trial was counted in advance.
    dead = f"{ON_TRIAL} = 1 AND died = 1 AND strikes >= {STRIKES_ALLOWED}"
    free = ""
    if connection.vendor == "postgresql":
        # A worker that was frozen in the middle of recording still locks its rows; the others must not wait for it.
        free = f"AND id IN (SELECT id FROM {TABLE} WHERE id IN (SELECT lost_id FROM lost) FOR UPDATE SKIP LOCKED)"  # noqa: S608
    sql = f"""
        WITH lost(lost_id, lost_fence, died, at) AS ({values})
        UPDATE {TABLE} SET
            state = CASE WHEN {dead} THEN 'dead' WHEN state = 'claimed' THEN 'ready' ELSE 'unknown' END,
            reason = CASE WHEN {dead} THEN 'strikes' WHEN state = 'claimed' THEN 'worker_lost' ELSE 'lost_contact' END,
            settled_at = CASE WHEN {dead} THEN at ELSE NULL END,
            strikes = strikes - (1 - died) * {ON_TRIAL}, fence = fence + 1, owner = '', lease = NULL
        FROM lost WHERE id = lost_id AND fence = lost_fence AND state IN ('claimed', 'sending') {free}
        RETURNING {_columns()}"""  # noqa: S608
    return sql, params


def _columns() -> str:
    model = apps.get_model("klaxon", "Delivery")
    return ", ".join(field.column for field in model._meta.concrete_fields if field.column)


def _among(condition: str, values: Collection[Any]) -> tuple[str, list[Any]]:
    if not values:
        return "", []
    return f"{condition} ({', '.join(['%s'] * len(values))})", list(values)


def _source(connection: Any, rows: Sequence[Sequence[Any]], types: Sequence[str]) -> tuple[str, list[Any]]:
    """Rows as something to select from: on PostgreSQL arrays, one for each column, so that the text stays the same."""
    if connection.vendor == "postgresql":
        arrays = ", ".join(f"%s::{name}[]" for name in types)
        return f"SELECT * FROM unnest({arrays})", [list(column) for column in zip(*rows, strict=True)]  # noqa: S608
    marks = f"({', '.join(['%s'] * len(types))})"
    return f"VALUES {', '.join([marks] * len(rows))}", [value for row in rows for value in row]


def _time(connection: Any, value: datetime | None) -> Any:
    return connection.ops.adapt_datetimefield_value(value)


def _ids(connection: Any, sql: str, params: Sequence[Any]) -> set[int]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return {row[0] for row in cursor.fetchall()}
