"""Read what has changed in many inboxes at once, for the streams of one process."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import router
from django.urls import get_script_prefix, set_script_prefix
from django.utils import translation

from notifications.inbox.feed import Counts, Cursor, load_counts, load_revisions
from notifications.inbox.membership import load_visible_clusters
from notifications.inbox.permissions import Permissions
from notifications.inbox.serializing import load_permissions, serialize_item
from notifications.live.pool import run_in_pool
from notifications.live.sessions import Visitor
from notifications.live.stream import RESYNC, Message, MessageKind
from notifications.models import InboxFeed, InboxItem
from notifications.storage.inbox_changes import Window, list_changed

ITEMS_PER_MESSAGE = 50

Position = tuple[Any, Cursor]
"""A user and the cursor up to which a client of this user has read."""


@dataclass(frozen=True)
class Changes:
    """What has changed in an inbox after a cursor.

    :param permissions: the result of :func:`load_permissions` for the items.
    """

    since: Cursor
    cursor: Cursor
    counts: Counts
    items: Sequence[InboxItem]
    has_more: bool
    permissions: Permissions = field(default_factory=dict)

    def write_message(self, visitor: Visitor) -> Message:
        """Return the message for a visitor, with links and labels as in the request that opened the stream."""
        if self.since.revision > self.counts.revision:
            # The database was restored from a backup, or the client has made the cursor up.
            return RESYNC
        prefix = get_script_prefix()
        set_script_prefix(visitor.script_prefix)
        try:
            with translation.override(visitor.language):
                content = self._as_json()
        finally:
            set_script_prefix(prefix)
        return Message(MessageKind.INBOX, self.since, self.cursor, json.dumps(content), self.has_more)

    def _as_json(self) -> dict[str, Any]:
        """Return the same as ``load_feed()``."""
        return {
            "revision": self.counts.revision,
            "cursor": str(self.cursor),
            "counts": self.counts.as_json(),
            "items": [serialize_item(item, self.permissions) for item in self.items],
            "has_more": self.has_more,
        }


def load_changes(
    positions: Collection[Position], revisions: Mapping[Any, int] | None = None
) -> dict[Position, Changes]:
    """Return what has changed after each of these positions. The number of queries does not depend on their number.

    :param revisions: what :func:`load_revisions` has returned for these users; by default, they are loaded here.
    """
    using = router.db_for_write(InboxItem)
    user_ids = list({user_id for user_id, _cursor in positions})
    # The revisions come first. Later changes are left out here, and follow.
    if revisions is None:
        revisions = load_revisions(user_ids, using)
    visible = load_visible_clusters(user_ids, using)
    counts = load_counts(user_ids, visible, using)
    windows = {
        number: Window(user_id, cursor.revision, cursor.item_id, revisions.get(user_id, 0))
        for number, (user_id, cursor) in enumerate(positions)
    }
    found = list_changed(using, windows, ITEMS_PER_MESSAGE + 1)
    keys = {key for pairs in found.values() for _revision, key in pairs}
    items = InboxItem._base_manager.using(using).defer("encrypted").in_bulk(keys) if keys else {}
    permissions = load_permissions(items.values())
    changes = {}
    for number, (user_id, since) in enumerate(positions):
        pairs, total = found.get(number, []), counts[user_id]
        has_more, pairs = len(pairs) > ITEMS_PER_MESSAGE, pairs[:ITEMS_PER_MESSAGE]
        cursor = Cursor(*pairs[-1]) if has_more else Cursor(revisions.get(user_id, 0))
        # An item that has changed again in the meantime has a later revision, and follows with that.
        rows = [items[key] for revision, key in pairs if key in items and items[key].revision == revision]
        shown = [row for row in rows if row.cluster_id in visible[user_id]]
        changes[user_id, since] = Changes(since, cursor, total, shown, has_more, permissions)
    return changes


async def read_message(visitor: Visitor, since: Cursor) -> Message:
    """Return what one visitor has missed, in a constant number of queries."""
    return await run_in_pool(_read_message, visitor, since)


def _read_message(visitor: Visitor, since: Cursor) -> Message:
    position = visitor.user_id, since
    return load_changes([position])[position].write_message(visitor)


def find_start(visitor: Visitor) -> Cursor:
    """Return the cursor of a client that wants only what changes from now on."""
    feeds = InboxFeed._base_manager.using(router.db_for_write(InboxFeed))
    revision = feeds.filter(pk=visitor.user_id).values_list("revision", flat=True).first()
    return Cursor(revision or 0)
