"""Preferences of roles and clusters, what users have muted, and who changed any of it."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from notifications.admin import columns, search
from notifications.admin.audited import Audited
from notifications.admin.base import BigTable, Kept
from notifications.admin.filters import ClusterFilter
from notifications.admin.forms import SharedPreferenceForm
from notifications.models import Mute, PreferenceChange, SharedPreference


@admin.register(SharedPreference)
class SharedPreferenceAdmin(Audited, BigTable):
    form = SharedPreferenceForm
    list_display = ("whose", "cluster", "rank")
    list_filter = (ClusterFilter,)
    search_help_text = _("The name of a group, or the number of a cluster or a row; written in full.")
    related = ("cluster", "group")
    ordering: ClassVar[tuple[str, ...]] = ("cluster", "rank", "id")
    raw_id_fields = ("cluster", "group")

    def matching(self, term: str) -> Q:
        return search.number(term, "pk", "cluster") | Q(group__name=term)


@admin.register(Mute)
class MuteAdmin(Audited, BigTable):
    """Deleting a row lifts it."""

    fields = ("user", "cluster", "kind", "value", "until")
    list_display = ("id", "user", "cluster", "kind", "value", "until")
    list_display_links = ("id", "user")
    list_filter = (ClusterFilter, "kind")
    search_help_text = _("A login name, an email address of an account, a recipient key such as u:42, or a number.")
    related = ("user", "cluster")
    raw_id_fields = ("user", "cluster")

    def matching(self, term: str) -> Q:
        return search.number(term, "pk") | search.recipient(term, "user")


@admin.register(PreferenceChange)
class PreferenceChangeAdmin(Kept):
    list_display = ("id", "at", "action", "table", "subject", "who")
    list_filter = (ClusterFilter, "action")
    ordering: ClassVar[tuple[str, ...]] = ("-id",)
    search_help_text = _("A key such as u:42, written in full, or a number.")
    related = ("by", "cluster")
    fieldsets = (
        (None, {"fields": ("at", "who", "action", "table", "subject", "in_cluster")}),
        (_("Change"), {"fields": ("was", "became")}),
    )

    def matching(self, term: str) -> Q:
        return search.number(term, "pk") | Q(subject=term)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["at", "who", "action", "table", "subject", "in_cluster", "was", "became"]

    @admin.display(description=_("by"))
    def who(self, row: PreferenceChange) -> SafeString | str:
        return columns.page_of(self.admin_site, row.by, row.by_id)

    @admin.display(description=_("cluster"))
    def in_cluster(self, row: PreferenceChange) -> SafeString | str:
        return columns.page_of(self.admin_site, row.cluster, row.cluster_id)

    @admin.display(description=_("before"))
    def was(self, row: PreferenceChange) -> SafeString | str:
        return columns.json_block(row.before)

    @admin.display(description=_("after"))
    def became(self, row: PreferenceChange) -> SafeString | str:
        return columns.json_block(row.after)
