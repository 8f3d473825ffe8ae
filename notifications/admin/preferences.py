"""The admin of role and cluster preferences, of mutes, and of the record of changes."""

from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from notifications.admin import columns, search
from notifications.admin.audited import AuditedAdmin
from notifications.admin.base import LargeTableAdmin, PermanentAdmin
from notifications.admin.filters import ClusterFilter, UnindexedClusterFilter
from notifications.admin.forms import SharedPreferenceForm
from notifications.admin.relations import AutocompleteAdmin
from notifications.models import Mute, PreferenceChange, SharedPreference


@admin.register(SharedPreference)
class SharedPreferenceAdmin(AutocompleteAdmin, AuditedAdmin, LargeTableAdmin):
    form = SharedPreferenceForm
    list_display = ("owner", "cluster", "rank")
    list_filter = (ClusterFilter,)
    search_help_text = _("Enter the complete name of a group, or the number of a cluster or a row.")
    related_fields = ("cluster", "group")
    raw_id_fields = ("cluster", "group")

    def get_search_condition(self, term: str) -> Q:
        return search.match_number(term, "pk", "cluster") | Q(group__name=term)


@admin.register(Mute)
class MuteAdmin(AutocompleteAdmin, AuditedAdmin, LargeTableAdmin):
    """Deleting a row removes the mute."""

    fields = ("user", "cluster", "kind", "value", "until")
    list_display = ("id", "user", "cluster", "kind", "value", "until")
    list_display_links = ("id", "user")
    list_filter = (ClusterFilter, "kind")
    search_help_text = _(
        "Enter a complete login name or email address of an account, a recipient key such as u:42, or a number."
    )
    related_fields = ("user", "cluster")
    raw_id_fields = ("user", "cluster")

    def get_search_condition(self, term: str) -> Q:
        return search.match_number(term, "pk") | search.match_recipient(term, "user")


@admin.register(PreferenceChange)
class PreferenceChangeAdmin(PermanentAdmin):
    list_display = ("id", "at", "action", "table", "subject", "changed_by")
    list_filter = (UnindexedClusterFilter, "action")
    search_help_text = _("Enter a complete key such as u:42, or a number.")
    related_fields = ("by", "cluster")
    fieldsets = (
        (None, {"fields": ("at", "changed_by", "action", "table", "subject", "cluster_link")}),
        (_("Change"), {"fields": ("before_json", "after_json")}),
    )

    def get_search_condition(self, term: str) -> Q:
        return search.match_number(term, "pk") | Q(subject=term)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["at", "changed_by", "action", "table", "subject", "cluster_link", "before_json", "after_json"]

    @admin.display(description=_("by"))
    def changed_by(self, row: PreferenceChange) -> SafeString | str:
        return columns.link_to_page(self.admin_site, row.by, row.by_id)

    @admin.display(description=_("cluster"))
    def cluster_link(self, row: PreferenceChange) -> SafeString | str:
        return columns.link_to_page(self.admin_site, row.cluster, row.cluster_id)

    @admin.display(description=_("before"))
    def before_json(self, row: PreferenceChange) -> SafeString | str:
        return columns.render_json(row.before)

    @admin.display(description=_("after"))
    def after_json(self, row: PreferenceChange) -> SafeString | str:
        return columns.render_json(row.after)
