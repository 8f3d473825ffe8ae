"""The SQL statements that put deliveries into digests and batches, and remove them again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from notifications.core.transitions import TRANSITIONS
from notifications.storage.engine import fetch_ids, get_engine, prepare_time
from notifications.storage.outbox import ROWS_PER_STATEMENT, TABLE, WAITS_FOR_DIGEST_SQL


@dataclass(frozen=True)
class DigestRemoval:
    """A merged row to remove from its digest or batch, which a worker has claimed under this fence."""

    id: int
    state: str
    reason: str
    digest_id: int
    fence: int


def lock_digest_items(using: str, recipient_keys: Sequence[str]) -> set[int]:
    """Lock rows of recipients that wait for a digest or batch until the transaction ends; return the ids."""
    engine = get_engine(using)
    if not recipient_keys:
        return set()
    placeholders = ", ".join(["%s"] * len(recipient_keys))
    # It is an UPDATE, so that on SQLite the transaction begins as a writing one.
    sql = f"""
        UPDATE {TABLE} SET owner = '' WHERE id IN (
            SELECT id FROM {TABLE} WHERE {WAITS_FOR_DIGEST_SQL} AND recipient_key IN ({placeholders})
            {engine.skip_locked}
        )
        RETURNING id"""  # noqa: S608
    return fetch_ids(engine, sql, recipient_keys)


def merge(using: str, pairs: Sequence[tuple[int, int]], now: datetime) -> set[int]:
    """Merge held rows into digests or batches, given as pairs of ids; return the ids of the rows that changed."""
    engine = get_engine(using)
    if not pairs:
        return set()
    if len(pairs) > ROWS_PER_STATEMENT:
        return merge(using, pairs[:ROWS_PER_STATEMENT], now) | merge(using, pairs[ROWS_PER_STATEMENT:], now)
    at = prepare_time(engine.connection, now)
    rows = [(item_id, digest_id, at) for item_id, digest_id in pairs]
    values, params = engine.row_source(rows, ("bigint", "bigint", "timestamptz"))
    sql = f"""
        WITH items(item_id, digest_id, at) AS ({values})
        UPDATE {TABLE} SET state = 'merged', merged_into_id = digest_id, settled_at = at, due_at = NULL
        FROM items WHERE id = item_id AND state = 'held'
        RETURNING id"""  # noqa: S608
    return fetch_ids(engine, sql, params)


def remove_from_digests(using: str, removals: Sequence[DigestRemoval], now: datetime) -> set[int]:
    """Remove merged rows from digests and batches that are still claimed; return the ids of the rows that changed.

    :raises ValueError: if there is no such transition.
    """
    engine = get_engine(using)
    if not removals:
        return set()
    if len(removals) > ROWS_PER_STATEMENT:
        first, rest = removals[:ROWS_PER_STATEMENT], removals[ROWS_PER_STATEMENT:]
        return remove_from_digests(using, first, now) | remove_from_digests(using, rest, now)
    if wrong := [item.state for item in removals if item.state not in TRANSITIONS["merged"]]:
        raise ValueError(f"A delivery cannot change from 'merged' to '{wrong[0]}'; see notifications.core.transitions.")
    at = prepare_time(engine.connection, now)
    rows = [(row.id, row.state, row.reason, row.digest_id, row.fence, at) for row in removals]
    values, params = engine.row_source(rows, ("bigint", "text", "text", "bigint", "integer", "timestamptz"))
    # The digest is locked, so that a worker that has claimed it since then cannot send it with the removed rows.
    sql = f"""
        WITH removals(item_id, new_state, new_reason, digest_id, digest_fence, at) AS ({values}), claimed AS (
            SELECT id AS claimed_id FROM {TABLE}
            WHERE state = 'claimed' AND (id, fence) IN (SELECT digest_id, digest_fence FROM removals) {engine.lock_rows}
        )
        UPDATE {TABLE} SET state = new_state, reason = new_reason, merged_into_id = NULL, settled_at = at
        FROM removals WHERE id = item_id AND state = 'merged' AND digest_id IN (SELECT claimed_id FROM claimed)
        RETURNING id"""  # noqa: S608
    return fetch_ids(engine, sql, params)
