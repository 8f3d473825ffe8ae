"""What has changed in a user's inbox since a revision, for open pages.

A cursor is a text: ``"12"`` asks for everything after revision 12, and ``"12-345"`` for the rest of revision 12 after
item 345, and for everything after it. See :mod:`notifications.models.inbox_feed`.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from django.db import router
from django.db.models import Q

from notifications.core import clock
from notifications.inbox.membership import load_visible_clusters
from notifications.inbox.serializing import serialize_items
from notifications.models import InboxFeed, InboxItem
from notifications.models.inbox import InboxQuerySet
from notifications.storage.engine import array_subquery
from notifications.storage.inbox_feed import count_unread

DEFAULT_LIMIT, MAX_LIMIT = 20, 200
MAX_REVISION = 2**63 - 1


@dataclass(frozen=True)
class Cursor:
    """A position in a feed: after the revision, or after one item of the revision.

    :param item_id: the last item of the revision that the client has, or None if it has the whole revision.
    """

    revision: int
    item_id: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the cursor that a client has sent.

        :raises ValueError: if it is malformed.
        """
        revision, separator, item_id = text.partition("-")
        numbers = [revision, item_id] if separator else [revision]
        if not all(number.isascii() and number.isdigit() and int(number) <= MAX_REVISION for number in numbers):
            raise ValueError(f"{text!r:.50} is not a cursor of a feed.")
        return cls(*map(int, numbers))

    def __str__(self) -> str:
        return str(self.revision) if self.item_id is None else f"{self.revision}-{self.item_id}"

    @property
    def is_passed(self) -> Q:
        """The condition of the items after this position."""
        if self.item_id is None:
            return Q(revision__gt=self.revision)
        return Q(revision__gte=self.revision) & (Q(revision__gt=self.revision) | Q(pk__gt=self.item_id))


@dataclass(frozen=True)
class Counts:
    """The number of unread items of a user, in each cluster that the user sees, and the revision of these numbers."""

    revision: int
    clusters: dict[Any, int]

    @property
    def total(self) -> int:
        return sum(self.clusters.values())

    def as_json(self) -> dict[str, Any]:
        return {"total": self.total, "clusters": {str(key): number for key, number in self.clusters.items()}}


def load_revisions(user_ids: Iterable[Any], using: str) -> dict[Any, int]:
    """Return the revisions of these users, with one query. Users without a feed are missing.

    What is read afterwards contains every change up to these revisions. So a cursor with one of them misses nothing,
    even if the user gets an item, or their first item of a cluster, between two of the queries.
    """
    field = InboxFeed._meta.get_field("user").target_field
    feeds = InboxFeed._base_manager.using(using).filter(pk__in=array_subquery(user_ids, field, using))
    return dict(feeds.values_list("pk", "revision"))


def load_counts(user_ids: Sequence[Any], visible: Mapping[Any, Collection[Any]], using: str) -> dict[Any, Counts]:
    """Return the counts of each of these users, with one query.

    :param visible: for each user, the clusters whose items the user sees; see :func:`load_visible_clusters`.
    """
    revisions, unread = count_unread(using, user_ids, clock.cached_now(using))
    counts = {user_id: Counts(revisions.get(user_id, 0), {}) for user_id in user_ids}
    for (user_id, cluster_id), number in unread.items():
        if cluster_id in visible[user_id]:
            counts[user_id].clusters[cluster_id] = number
    return counts


def load_feed(user_id: Any, since: Cursor | None = None, limit: int = DEFAULT_LIMIT) -> dict[str, Any]:
    """Return a user's counts and the items that have changed, ready for JSON, in a constant number of queries.

    - ``revision``: the revision of the counts;
    - ``cursor``: the cursor to pass next time; changes during the call can make its revision lower;
    - ``counts``: ``total`` and ``clusters``, the number of unread items by cluster;
    - ``items``: without ``since``, the newest items of the list; with it, all items that have changed since, in the
      order of their changes, including those that are archived or snoozed now;
    - ``has_more``: whether there are further items after the last one.

    Items of clusters that the user has left are left out.
    """
    using = router.db_for_read(InboxItem)
    revision = load_revisions([user_id], using).get(user_id, 0)
    visible = load_visible_clusters([user_id], using)
    counts = load_counts([user_id], visible, using)[user_id]
    items = InboxItem.objects.using(using).filter(recipient=user_id, cluster__in=visible[user_id])
    chosen = _choose_items(items, since, revision, using)
    rows = list(chosen.defer("encrypted")[: limit + 1])
    has_more, rows = len(rows) > limit, rows[:limit]
    cursor = Cursor(revision)
    if since is not None and has_more:
        cursor = Cursor(rows[-1].revision, rows[-1].pk)
    return {
        "revision": counts.revision,
        "cursor": str(cursor),
        "counts": counts.as_json(),
        "items": serialize_items(rows),
        "has_more": has_more,
    }


def _choose_items(items: InboxQuerySet, since: Cursor | None, revision: int, using: str) -> InboxQuerySet:
    if since is None:
        return items.listed(clock.cached_now(using)).order_by("-created_at", "-pk")
    return items.filter(since.is_passed, revision__lte=revision).order_by("revision", "pk")
