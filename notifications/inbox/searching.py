"""A search in the list: the first items that contain some words, with the index of words only where it is faster."""

from typing import Any

from notifications.models import InboxItem
from notifications.models.inbox import InboxQuerySet
from notifications.storage.engine import array_subquery, get_engine

# The items that a search reads before it uses the index of words.
MAX_SCANNED_ITEMS = 1000


def search(items: InboxQuerySet, text: str, user: Any, limit: int) -> list[InboxItem]:
    """Return the first ``limit`` items that contain the words of a text.

    An index of words does not know the order of the items, and of a frequent word it finds far more items than a page
    has. So the first items are tried without it, and then it looks only for the word that is the rarest among these.
    """
    newest, found, is_complete = _scan_first(items, text, MAX_SCANNED_ITEMS, limit)
    factor = get_engine(items.db).wider_scan
    if not is_complete and len(found) * factor >= limit:
        _, found, is_complete = _scan_first(items, text, factor * MAX_SCANNED_ITEMS, limit)
    if is_complete:
        return found
    rarest, *others = newest.sort_by_frequency(text) or [""]
    matching = items.search(rarest, user)
    return list((matching.scan(" ".join(others)) if others else matching)[:limit])


def _scan_first(items: InboxQuerySet, text: str, count: int, limit: int) -> tuple[InboxQuerySet, list[InboxItem], bool]:
    """Return the first items, those of them that contain the words, and whether no others are needed for a page."""
    keys = list(items.values_list("pk", flat=True)[:count])
    first = items.filter(pk__in=array_subquery(keys, InboxItem._meta.pk, items.db))
    found = list(first.scan(text)[:limit])
    return first, found, len(found) == limit or len(keys) < count
