"""The statement that finds what has changed in many inboxes."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model

from notifications.storage.engine import get_engine

ITEM = "klaxon_inboxitem"
MAX_KEY = 2**63 - 1


class Window(NamedTuple):
    """A part of a feed: the items that have changed after an item of a revision, up to another revision.

    :param since: the revision after which the part begins, or in which it begins if there is an item.
    :param item_id: the last item of that revision that is known; None if the whole revision is.
    """

    user_id: Any
    since: int
    item_id: int | None
    until: int


def list_changed(using: str, windows: Mapping[int, Window], limit: int) -> dict[int, list[tuple[int, int]]]:
    """Return the items in each of these parts, by the number of the part, in the order of the changes.

    Each item is a pair of its revision and its id.

    :param limit: the number of items of each part, at most.
    """
    if not windows:
        return {}
    key: Any = get_user_model()._meta.pk
    engine = get_engine(using)
    connection, rows = engine.connection, []
    for number, part in windows.items():
        user_id = key.get_db_prep_value(part.user_id, connection)
        rows.append((number, user_id, part.since, MAX_KEY if part.item_id is None else part.item_id, part.until))
    types = ("bigint", str(key.rel_db_type(connection)), "bigint", "bigint", "bigint")
    values, params = engine.row_source(rows, types)
    sql = f"""
        WITH parts(part, part_user, since, last_item, until) AS ({values}), changed AS (
            SELECT part, revision, id, ROW_NUMBER() OVER (PARTITION BY part ORDER BY revision, id) AS place
            FROM parts JOIN {ITEM} ON recipient_id = part_user AND revision >= since AND revision <= until
                AND (revision > since OR id > last_item)
        )
        SELECT part, revision, id FROM changed WHERE place <= %s ORDER BY part, place"""  # noqa: S608 - constant SQL
    with connection.cursor() as cursor:
        cursor.execute(sql, [*params, limit])
        found: dict[int, list[tuple[int, int]]] = {}
        for number, revision, item_id in cursor.fetchall():
            found.setdefault(number, []).append((revision, item_id))
    return found
