"""Keys in one order, however many queries they come from, and never all of them in memory."""

from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import groupby, repeat
from operator import itemgetter
from typing import Any

from django.db import connections
from django.db.models import CharField, F, QuerySet, TextField
from django.db.models.functions import Collate

# The channels that a To names; None is all of the call's.
Narrowing = frozenset[str] | None


def iterate_sorted(queryset: QuerySet[Any], column: str, size: int) -> Iterator[Any]:
    """The keys in a column, each once, in the order in which Python sorts them; read ``size`` at a time."""
    keys = queryset.values_list(column, flat=True)
    if not can_reorder(queryset):
        return iter(sorted(set(keys)))
    return keys.order_by(_python_order(queryset, column)).distinct().iterator(chunk_size=size)


def can_reorder(queryset: QuerySet[Any]) -> bool:
    """Whether it may be put into another order; else that would mean other rows, or is not allowed."""
    query = queryset.query
    return not (query.is_sliced or query.combinator or query.distinct_fields or query.select_for_update)


def _python_order(queryset: QuerySet[Any], column: str) -> Any:
    """PostgreSQL sorts texts as a dictionary does, if it is told so when the database is made."""
    field: Any = queryset.model._meta.pk if column == "pk" else queryset.model._meta.get_field(column)
    while field.remote_field:
        field = field.target_field
    is_text = isinstance(field, CharField | TextField)
    return Collate(F(column), "C") if is_text and connections[queryset.db].vendor == "postgresql" else column


def merge_sorted(streams: Iterable[tuple[Iterator[Any], Narrowing]]) -> Iterator[tuple[Any, Narrowing]]:
    """Every key of streams that are in order, once in each, with the channels of all streams that have it."""
    tagged = [zip(keys, repeat(narrowing)) for keys, narrowing in streams]
    if len(tagged) == 1:
        yield from tagged[0]
        return
    for key, found in groupby(merge(*tagged, key=itemgetter(0)), key=itemgetter(0)):
        yield key, union(narrowing for _key, narrowing in found)


def union(narrowings: Iterable[Narrowing]) -> Narrowing:
    """The channels of them all; who is named without any gets all of the call's."""
    every: frozenset[str] = frozenset()
    for narrowing in narrowings:
        if narrowing is None:
            return None
        every |= narrowing
    return every
