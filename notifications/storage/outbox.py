"""The SQL statements of the outbox for PostgreSQL and SQLite.

They are written by hand because each change must be *one* statement: a worker that reads first and writes later races
with other workers and, on SQLite, fails with "database is locked". The statements contain the names of states as
literals, so that the database uses the partial indexes.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.apps import apps

from notifications.core.transitions import TRANSITIONS
from notifications.outcomes import END_STATES
from notifications.storage.engine import fetch_ids, get_engine, in_list, prepare_time

TABLE = "klaxon_delivery"
MAX_STRIKES = 3
# The conditions of partial indexes, word for word.
WAITS_ALONE_SQL = "state IN ('held', 'retry') AND reason NOT IN ('batch', 'digest')"
WAITS_FOR_DIGEST_SQL = "state = 'held' AND reason IN ('batch', 'digest')"
# 1 for a row that is tried alone; see begin_trial().
ON_TRIAL = "(CASE WHEN reason = 'on_trial' THEN 1 ELSE 0 END)"
# SQLite accepts 32,766 parameters.
ROWS_PER_STATEMENT = 1000
# Deliveries that no digest or batch has taken by then are sent individually.
OVERDUE_AFTER = timedelta(hours=1)
# The columns that delivering needs.
CLAIMED_COLUMNS = (
    "id", "notification_id", "channel", "recipient_id", "recipient_key", "address", "state", "reason", "score",
    "attempts", "strikes", "owner", "fence", "epoch", "provider", "tried_providers", "due_at",
)  # fmt: skip
MAX_SUSPECTS = 1000
# A provider has failed with the delivery before, so the delivery itself may be the cause of the failure.
HAS_FAILED_BEFORE = (
    "(attempts > 0 OR tried_providers <> '' OR reason IN ('configuration', 'temporary', 'lost_contact'))"
)
# A probe is chosen from this number of the newest deliveries.
PROBE_CANDIDATES = 200


@dataclass(frozen=True)
class LostClaim:
    """A row to take back from the worker that claimed it under this fence.

    :param died: 1 if the worker is dead, 0 if only the lease has expired.
    """

    id: int
    fence: int
    died: int


@dataclass(frozen=True)
class StateChange:
    """A state to write if the row still has the state ``was`` and this fence.

    The leftovers file stores the names of these fields.

    :param attempts_refunded: 1 if an attempt was counted that must not count, otherwise 0.
    :param tried_providers: the value of the column of the same name.
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
    tried_providers: str = ""


def claim_statement(
    using: str,
    owner: str,
    lease: datetime,
    limit: int,
    notification_ids: Sequence[int],
    oldest_first: bool,
    excluded_channels: Collection[str],
    min_score: int,
) -> tuple[str, list[Any]]:
    """Return the statement of :meth:`~notifications.models.delivery.DeliveryQuerySet.claim`, and its parameters."""
    engine = get_engine(using)
    ids_condition, ids = in_list("AND notification_id IN", notification_ids)
    channels_condition, names = in_list("AND channel NOT IN", excluded_channels)
    score_condition = f"AND score >= {int(min_score)}" if min_score else ""
    order = "id" if oldest_first else "score DESC, id"
    sql = f"""
        WITH picked AS (
            SELECT id AS picked_id FROM {TABLE}
            WHERE state = 'ready' {ids_condition} {channels_condition} {score_condition}
            ORDER BY {order} LIMIT %s {engine.skip_locked}
        )
        UPDATE {TABLE} SET state = 'claimed', owner = %s, lease = %s, fence = fence + 1
        WHERE state = 'ready' AND id IN (SELECT picked_id FROM picked)
        RETURNING {", ".join(CLAIMED_COLUMNS)}"""  # noqa: S608 - constant SQL
    return sql, [*ids, *names, limit, owner, prepare_time(engine.connection, lease)]


def claim_probe_statement(
    using: str, owner: str, lease: datetime, channel: str, notification_ids: Sequence[int]
) -> tuple[str, list[Any]]:
    """Return the statement of ``DeliveryQuerySet.claim_probe()``, and its parameters."""
    engine = get_engine(using)
    ids_condition, ids = in_list("AND notification_id IN", notification_ids)
    sql = f"""
        WITH newest AS (
            SELECT id AS new_id, score AS new_score, CASE WHEN {HAS_FAILED_BEFORE} THEN 1 ELSE 0 END AS has_failed
            FROM {TABLE} WHERE state = 'ready' AND channel = %s {ids_condition}
            ORDER BY id DESC LIMIT {PROBE_CANDIDATES}
        ), picked AS (
            SELECT id AS picked_id FROM {TABLE} WHERE state = 'ready' AND id = (
                SELECT new_id FROM newest ORDER BY has_failed, new_score DESC, new_id DESC LIMIT 1
            ) {engine.skip_locked}
        )
        UPDATE {TABLE} SET state = 'claimed', owner = %s, lease = %s, fence = fence + 1
        WHERE state = 'ready' AND id IN (SELECT picked_id FROM picked)
        RETURNING {", ".join(CLAIMED_COLUMNS)}"""  # noqa: S608 - constant SQL
    return sql, [channel, *ids, owner, prepare_time(engine.connection, lease)]


def mark_sending(using: str, fences: Sequence[tuple[int, int]], lease: datetime) -> set[int]:
    """Change claimed rows, given as pairs of id and fence, to *sending*; return the ids of those that changed."""
    engine = get_engine(using)
    if not fences:
        return set()
    values, params = engine.row_source(fences, ("bigint", "integer"))
    sql = f"""
        WITH claims(claim_id, claim_fence) AS ({values})
        UPDATE {TABLE} SET state = 'sending', attempts = attempts + 1, lease = %s
        FROM claims WHERE id = claim_id AND fence = claim_fence AND state = 'claimed'
        RETURNING id"""  # noqa: S608
    return fetch_ids(engine, sql, [*params, prepare_time(engine.connection, lease)])


def settle(using: str, changes: Sequence[StateChange], now: datetime) -> set[int]:
    """Write outcomes; return the ids of the rows that changed.

    :raises ValueError: if there is no such transition.
    """
    if not changes:
        return set()
    if len(changes) > ROWS_PER_STATEMENT:
        return settle(using, changes[:ROWS_PER_STATEMENT], now) | settle(using, changes[ROWS_PER_STATEMENT:], now)
    engine, rows = get_engine(using), []
    connection = engine.connection
    for item in changes:
        if item.state not in TRANSITIONS.get(item.was, ()):
            raise ValueError(
                f"A delivery cannot change from '{item.was}' to '{item.state}'; see notifications.core.transitions."
            )
        row = (
            item.id,
            item.fence,
            item.was,
            item.state,
            item.reason,
            prepare_time(connection, item.due_at),
            item.provider,
            item.provider_message_id,
            prepare_time(connection, now if item.state in END_STATES else None),
            item.attempts_refunded,
            item.tried_providers,
        )
        rows.append(row)
    texts, time = ("text", "text"), "timestamptz"
    types = ("bigint", "integer", *texts, "text", time, *texts, time, "integer", "text")
    values, params = engine.row_source(rows, types)
    sql = f"""
        WITH changes(
            change_id, change_fence, was, new_state, new_reason, new_due_at, provider_name, message_id, new_settled_at,
            attempts_refunded, new_tried_providers
        ) AS ({values})
        UPDATE {TABLE} SET state = new_state, reason = new_reason, due_at = new_due_at, provider = provider_name,
            provider_message_id = message_id, settled_at = new_settled_at, attempts = attempts - attempts_refunded,
            strikes = strikes - {ON_TRIAL}, owner = '', lease = NULL, tried_providers = new_tried_providers
        FROM changes WHERE id = change_id AND fence = change_fence AND state = was
        RETURNING id"""  # noqa: S608
    return fetch_ids(engine, sql, params)


def release_due(using: str, now: datetime, limit: int) -> int:
    """Make due rows ready, except those that wait for a digest or batch; return the number of rows."""
    return _release(using, WAITS_ALONE_SQL, now, limit)


def release_overdue(using: str, now: datetime, limit: int) -> int:
    """Make rows ready that no digest or batch has taken within :data:`OVERDUE_AFTER`; return the number of rows."""
    return _release(using, WAITS_FOR_DIGEST_SQL, now - OVERDUE_AFTER, limit)


def _release(using: str, condition: str, due: datetime, limit: int) -> int:
    engine = get_engine(using)
    # WITH, as in the claim: PostgreSQL may run a subquery in IN () once for every row. Each run would skip the rows
    # that the previous run has locked, and so exceed the limit.
    sql = f"""
        WITH due AS (
            SELECT id AS due_id FROM {TABLE} WHERE {condition} AND due_at <= %s
            ORDER BY due_at LIMIT %s {engine.skip_locked}
        )
        UPDATE {TABLE} SET state = 'ready' WHERE {condition} AND id IN (SELECT due_id FROM due)
        RETURNING id"""  # noqa: S608
    return len(fetch_ids(engine, sql, [prepare_time(engine.connection, due), limit]))


def renew_leases(using: str, owner: str, ids: Collection[int], lease: datetime) -> int:
    """Extend the leases of rows that ``owner`` has claimed; return the number of rows."""
    engine = get_engine(using)
    if not ids:
        return 0
    placeholders = ", ".join(["%s"] * len(ids))
    # Rows that another thread is settling are skipped: two statements that lock many rows in different orders deadlock.
    sql = f"""
        UPDATE {TABLE} SET lease = %s WHERE id IN (
            SELECT id FROM {TABLE} WHERE id IN ({placeholders}) AND state = 'claimed' AND owner = %s
            {engine.skip_locked}
        )"""  # noqa: S608
    with engine.connection.cursor() as cursor:
        cursor.execute(sql, [prepare_time(engine.connection, lease), *ids, owner])
        return cursor.rowcount


def find_suspects(using: str, owners: Sequence[str], now: datetime) -> list[tuple[int, int, str]]:
    """Return id, fence and owner of rows whose lease has expired, or that one of ``owners`` has claimed."""
    engine = get_engine(using)
    placeholders = ", ".join(["%s"] * len(owners)) or "NULL"
    sql = f"""
        SELECT id, fence, owner FROM {TABLE}
        WHERE state IN ('claimed', 'sending') AND (lease < %s OR owner IN ({placeholders}))
        ORDER BY id LIMIT {MAX_SUSPECTS}"""  # noqa: S608
    with engine.connection.cursor() as cursor:
        cursor.execute(sql, [prepare_time(engine.connection, now), *owners])
        return cursor.fetchall()


def take_back_statement(using: str, lost: Sequence[LostClaim], now: datetime) -> tuple[str, list[Any]]:
    """Return the statement of ``DeliveryQuerySet.take_back()``, and its parameters."""
    # It is one guarded UPDATE: if a worker is only slow and settles the row at the same time, either its update comes
    # first, or it finds a new fence and changes nothing.
    engine = get_engine(using)
    at = prepare_time(engine.connection, now)
    rows = [(item.id, item.fence, item.died, at) for item in lost]
    values, params = engine.row_source(rows, ("bigint", "integer", "integer", "timestamptz"))
    # The strike of a row on trial has been counted in advance.
    dead = f"{ON_TRIAL} = 1 AND died = 1 AND strikes >= {MAX_STRIKES}"
    # A worker that is frozen while it records outcomes still locks its rows, and the others must not wait for it.
    unlocked = engine.unlocked_condition(TABLE, "SELECT lost_id FROM lost")
    sql = f"""
        WITH lost(lost_id, lost_fence, died, at) AS ({values})
        UPDATE {TABLE} SET
            state = CASE WHEN {dead} THEN 'dead' WHEN state = 'claimed' THEN 'ready' ELSE 'unknown' END,
            reason = CASE WHEN {dead} THEN 'strikes' WHEN state = 'claimed' THEN 'worker_lost' ELSE 'lost_contact' END,
            settled_at = CASE WHEN {dead} THEN at ELSE NULL END,
            strikes = strikes - (1 - died) * {ON_TRIAL}, fence = fence + 1, owner = '', lease = NULL
        FROM lost WHERE id = lost_id AND fence = lost_fence AND state IN ('claimed', 'sending') {unlocked}
        RETURNING {_columns()}"""  # noqa: S608
    return sql, params


def _columns() -> str:
    model = apps.get_model("klaxon", "Delivery")
    return ", ".join(field.column for field in model._meta.concrete_fields if field.column)
