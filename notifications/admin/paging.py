"""Pages of a list that may have millions of rows."""

from typing import Any

from django.core.paginator import Paginator
from django.utils.functional import cached_property


class BoundedPaginator(Paginator):
    """Counts no further than ``most``: counting a whole table takes longer than anything else on the page.

    What lies beyond is reached by searching and filtering.
    """

    most = 10_000

    @cached_property
    def count(self) -> int:
        return min(self._found, self.most)

    @property
    def is_cut(self) -> bool:
        """Whether there are more rows than were counted."""
        return self._found > self.most

    @cached_property
    def _found(self) -> int:
        return bounded_count(self.object_list, self.most + 1)


def bounded_count(queryset: Any, most: int) -> int:
    """The number of rows, or ``most`` if there are more."""
    return queryset.order_by()[:most].count()
