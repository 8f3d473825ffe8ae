"""Iterate over keys from several queries in one order, without all of them in memory."""

from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import groupby, repeat
from operator import itemgetter
from typing import Any

from django.db.models import CharField, QuerySet, TextField

from notifications.storage.engine import get_engine

# The channels that a To names; None means all channels of the call.
ChannelFilter = frozenset[str] | None


def iterate_sorted(queryset: QuerySet[Any], column: str, size: int) -> Iterator[Any]:
    """Return the distinct keys of a column in Python's sort order. Read ``size`` rows at a time."""
    keys = queryset.values_list(column, flat=True)
    if not can_reorder(queryset):
        return iter(sorted(set(keys)))
    return keys.order_by(_get_python_order(queryset, column)).distinct().iterator(chunk_size=size)


def can_reorder(queryset: QuerySet[Any]) -> bool:
    """Return whether another order is allowed and does not select other rows."""
    query = queryset.query
    return not (query.is_sliced or query.combinator or query.distinct_fields or query.select_for_update)


def _get_python_order(queryset: QuerySet[Any], column: str) -> Any:
    """Return an ordering that agrees with Python, for which texts may need another collation than the default."""
    field: Any = queryset.model._meta.pk if column == "pk" else queryset.model._meta.get_field(column)
    while field.remote_field:
        field = field.target_field
    is_text = isinstance(field, CharField | TextField)
    return get_engine(queryset.db).python_order(column) if is_text else column


def merge_sorted(streams: Iterable[tuple[Iterator[Any], ChannelFilter]]) -> Iterator[tuple[Any, ChannelFilter]]:
    """Merge sorted streams of distinct keys. Yield each key with the channels of all streams that have it."""
    tagged = [zip(keys, repeat(channel_filter)) for keys, channel_filter in streams]
    if len(tagged) == 1:
        yield from tagged[0]
        return
    for key, same_key in groupby(merge(*tagged, key=itemgetter(0)), key=itemgetter(0)):
        yield key, combine_filters(channel_filter for _key, channel_filter in same_key)


def combine_filters(filters: Iterable[ChannelFilter]) -> ChannelFilter:
    """Return the channels of all filters. If one of them is None, this is None: all channels of the call."""
    channels: frozenset[str] = frozenset()
    for channel_filter in filters:
        if channel_filter is None:
            return None
        channels |= channel_filter
    return channels
