"""Lists that are filtered: each reads a bounded number of rows, whatever the filters, the search and the URL ask for.

A filter by a column without an index reads the rows of the list one after the other until a page is full. If few rows
match, that is the whole table. The same happens with an index if the planner expects more matching rows near the
beginning of the list than there are. Therefore a list takes one of two ways:

* If an index finds at most as many rows as the list counts, all of them are read and sorted.
* Otherwise the list looks at the newest rows only, and has a link that looks at the older ones.
"""

from collections.abc import Iterator
from typing import Any

from django.contrib.admin.views.main import ORDER_VAR, ChangeList
from django.db.models import QuerySet
from django.db.models.expressions import OrderBy
from django.db.models.functions import Greatest
from django.http import HttpRequest

from notifications.admin.paging import BoundedPaginator, count_up_to

WINDOW = 100_000
"""How many rows a list looks at if no index finds the matching ones."""
RANGES = ("lt", "lte", "gt", "gte")


class BoundedChangeList(ChangeList):
    """A list that reads at most ``WINDOW`` rows.

    :ivar window: how many rows it has looked at, if these are not all; otherwise None.
    :ivar older_url: the query string that looks at the rows before them.
    :ivar newest_url: the query string that looks at the newest rows; empty if these are shown.
    """

    model_admin: Any
    window: int | None = None
    older_url = newest_url = ""

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        # Django sorts by any column that the URL names, even if the list offers none.
        self.params.pop(ORDER_VAR, None)
        return super().get_ordering(request, queryset)

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        rows = super().get_queryset(request, exclude_parameters)
        column, *_ = (str(name).lstrip("-") for name in rows.query.order_by)
        limits = {name: values[-1] for name, values in self._get_lookups() if _is_range(name, column)}
        if f"{column}__lt" in limits:
            self.newest_url = self.get_query_string(remove=[f"{column}__lt", "p"])
        if not self._is_filtered(limits):
            return rows
        found = self._find_by_index(request)
        most = BoundedPaginator.max_count
        if found is not None and count_up_to(found, most + 1) <= most:
            return rows.order_by(*map(_make_unindexed, rows.query.order_by))
        return self._look_at_newest(request, rows, column, limits)

    def _get_lookups(self) -> Iterator[tuple[str, list[str]]]:
        """Return the parameters of the URL that are filters."""
        yield from self.get_filters_params().items()

    def _list_active_specs(self) -> Iterator[Any]:
        names = {name for name, _ in self._get_lookups()}
        for spec in self.filter_specs:
            if getattr(spec, "is_always_active", False) or names & set(spec.expected_parameters()):
                yield spec

    def _is_filtered(self, limits: dict[str, str]) -> bool:
        """Return whether there is a search or a filter other than a range of the column that orders the list."""
        names = {name for name, _ in self._get_lookups()} - set(limits)
        return bool(self.query or names or any(getattr(spec, "is_always_active", False) for spec in self.filter_specs))

    def _find_by_index(self, request: HttpRequest) -> QuerySet[Any] | None:
        """Return the rows that the conditions with an index find; None if no condition has one."""
        rows, is_found = self.root_queryset, False
        for spec in self._list_active_specs():
            if getattr(spec, "is_indexed", False):
                rows, is_found = spec.queryset(request, rows), True
        for name, values in self._get_lookups():
            if name.removesuffix("__exact").removesuffix("_id") in self.model_admin.indexed_lookups:
                rows, is_found = rows.filter(**{name: values[-1]}), True
        if self.query and self.model_admin.has_indexed_search:
            rows, is_found = self.model_admin.get_search_results(request, rows, self.query)[0], True
        return rows if is_found else None

    def _look_at_newest(
        self, request: HttpRequest, rows: QuerySet[Any], column: str, limits: dict[str, str]
    ) -> QuerySet[Any]:
        """Return those of the rows that are among the newest ones, or among the newest ones of a range."""
        newest = self.root_queryset.filter(**limits)
        for spec in self._list_active_specs():
            if getattr(spec, "is_ordered_by", "") == column:
                newest = spec.queryset(request, newest)
        boundary = list(newest.order_by(f"-{column}").values_list(column, flat=True)[WINDOW : WINDOW + 1])
        if not boundary:
            return rows
        self.window = WINDOW
        [value] = boundary
        self.older_url = self.get_query_string({f"{column}__lt": getattr(value, "isoformat", lambda: value)()}, ["p"])
        return rows.filter(**{f"{column}__gte": value})


def _is_range(name: str, column: str) -> bool:
    return name in {f"{column}__{lookup}" for lookup in RANGES}


def _make_unindexed(name: Any) -> OrderBy:
    """Return the same order as an expression that has no index.

    PostgreSQL would otherwise read the index of the order from its end, and expect the matching rows there.
    """
    column = name.lstrip("-")
    return OrderBy(Greatest(column, column), descending=name.startswith("-"))
