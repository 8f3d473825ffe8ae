"""What the pages of this app have in common: they stay fast on millions of rows, and most only show."""

from functools import reduce
from operator import and_
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponseRedirect

from notifications.admin.paging import BoundedPaginator
from notifications.admin.search import terms


class Styled(admin.ModelAdmin):
    """With the style sheet of this app, by which long words break instead of pushing columns out of the window."""

    class Media:
        css = {"all": ["notifications/admin.css"]}


class BigTable(Styled):
    """A list of which no page reads, counts or sorts the whole table.

    A subclass says in :meth:`matching` what a word typed into the search box can mean, and in ``related`` which rows
    come along, so that no row of a list asks for its own.
    """

    change_list_template = "admin/klaxon/change_list.html"
    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    list_max_show_all = 200
    ordering: ClassVar[tuple[str, ...]] = ("-id",)
    # Every other order would sort the table.
    sortable_by = ()
    # Only shows the box; matching() does the work.
    search_fields = ("pk",)
    related: tuple[str, ...] = ()

    def matching(self, term: str) -> Q:
        """The condition of one word of the search."""
        raise NotImplementedError

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        if any("\0" in value for value in request.GET.values()):
            # No row can have it, and PostgreSQL refuses to be asked.
            return HttpResponseRedirect(f"{request.path}?e=1")
        return super().changelist_view(request, extra_context)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changelist = super().get_changelist_instance(request)
        for spec in changelist.filter_specs:
            if spec.template == admin.ListFilter.template:
                spec.template = "admin/klaxon/filter_links.html"
        return changelist

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        # Joined as "may be missing": a log row whose user is gone still comes.
        rows = super().get_queryset(request)
        return rows.select_related(*self.related) if self.related else rows

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return queryset.filter(reduce(and_, map(self.matching, terms(search_term)), Q())), False


class ViewOnly(BigTable):
    """Shown to those with the *view* permission; nobody adds or changes."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        # All of them, so that a fieldset may name methods.
        return flatten_fieldsets(self.fieldsets or ())


class Kept(ViewOnly):
    """Nor does anybody delete: the outbox and the log are what happened."""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
