"""Pagination of lists that can have millions of rows."""

from typing import Any

from django.core.paginator import Paginator
from django.utils.functional import cached_property


class BoundedPaginator(Paginator):
    """Counts at most ``max_count`` rows, because counting a large table would take longer than the rest of the page.

    Users find the other rows with the search and the filters.
    """

    max_count = 10_000

    @cached_property
    def count(self) -> int:
        return min(self._bounded_count, self.max_count)

    @property
    def is_truncated(self) -> bool:
        """Whether there are more rows than were counted."""
        return self._bounded_count > self.max_count

    @cached_property
    def _bounded_count(self) -> int:
        return count_up_to(self.object_list, self.max_count + 1)


def count_up_to(queryset: Any, max_count: int) -> int:
    """Return the number of rows, or ``max_count`` if there are more."""
    return queryset.order_by()[:max_count].count()
