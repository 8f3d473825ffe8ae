"""Base classes of the admin pages. The pages stay fast for tables with millions of rows, and most are read-only."""

from functools import reduce
from operator import and_
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.utils import flatten_fieldsets
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponseRedirect
from django.utils.translation import gettext as _

from notifications.admin.paging import BoundedPaginator, count_up_to
from notifications.admin.search import split_terms
from notifications.admin.window import BoundedChangeList

MAX_DELETED = 1000


class StyledAdmin(admin.ModelAdmin):
    """An admin page with Klaxon's style sheet, which breaks long words so that all columns stay visible.

    No list counts its whole table.
    """

    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        # No row can contain this character, and PostgreSQL raises an error for it.
        if any("\0" in value for value in request.GET.values()):
            return HttpResponseRedirect(f"{request.path}?e=1")
        return super().changelist_view(request, extra_context)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        return None if "\0" in object_id else super().get_object(request, object_id, from_field)

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any], *args: Any, **options: Any) -> Any:
        """Refuse to delete more rows at once than a person can check, because all of them are loaded."""
        is_across = request.POST.get("select_across", "0") != "0"
        is_deletion = is_across and request.POST.get("action") == "delete_selected"
        if is_deletion and count_up_to(queryset, MAX_DELETED + 1) > MAX_DELETED:
            text = _("At most %d rows can be deleted at once. Select fewer. Nothing was deleted.") % MAX_DELETED
            self.message_user(request, text, messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())
        return super().response_action(request, queryset, *args, **options)

    class Media:
        css = {"all": ["notifications/admin.css"]}


class LargeTableAdmin(StyledAdmin):
    """The admin of a large table. No page reads, counts or sorts the whole table.

    A subclass implements :meth:`get_search_condition`, and names in ``related_fields`` the relations that the list
    shows, so that they are loaded with the rows. It names in ``indexed_lookups`` the columns that the URL may filter by
    and that have an index. ``has_indexed_search`` says whether an index finds the rows of each search. See
    :mod:`notifications.admin.window`.
    """

    change_list_template = "admin/klaxon/change_list.html"
    list_per_page = 50
    list_max_show_all = 200
    ordering: ClassVar[tuple[str, ...]] = ("-id",)
    # Any other order would sort the whole table.
    sortable_by = ()
    # This only enables the search box; the search uses get_search_condition().
    search_fields = ("pk",)
    related_fields: tuple[str, ...] = ()
    indexed_lookups: tuple[str, ...] = ()
    has_indexed_search = True

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[BoundedChangeList]:
        return BoundedChangeList

    def get_search_condition(self, term: str) -> Q:
        """Return the condition for one word of the search."""
        raise NotImplementedError

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changelist = super().get_changelist_instance(request)
        for spec in changelist.filter_specs:
            if spec.template == admin.ListFilter.template:
                spec.template = "admin/klaxon/filter_links.html"
        return changelist

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        # These are outer joins, so a log row is listed even if its user was deleted.
        rows = super().get_queryset(request)
        return rows.select_related(*self.related_fields) if self.related_fields else rows

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return queryset.filter(reduce(and_, map(self.get_search_condition, split_terms(search_term)), Q())), False


class ViewOnlyAdmin(LargeTableAdmin):
    """The admin of a table whose rows nobody can add or change. Viewing requires the *view* permission."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        # All fields are read-only, so that a fieldset can name methods.
        return flatten_fieldsets(self.fieldsets or ())


class PermanentAdmin(ViewOnlyAdmin):
    """The admin of a table whose rows nobody can add, change or delete, such as the outbox and the log."""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
