"""Clusters, where the host has no cluster model of its own."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from notifications.admin.columns import list_of
from notifications.models import Cluster, InboxItem, Notification, NotificationLog, UserSettings


class ClusterAdmin(admin.ModelAdmin):
    list_display = ("name", "slug", "open_to_all")
    list_filter = ("open_to_all",)
    search_fields = ("name", "slug")
    # A list of all users to choose from would hold the whole user table.
    raw_id_fields = ("members",)
    prepopulated_fields = {"slug": ("name",)}
    readonly_fields = ("contents",)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("name", "slug", "open_to_all", "members", *(("contents",) if obj else ()))

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        # Deleting many would gather everything in them before has_delete_permission could ask about each.
        return {name: action for name, action in super().get_actions(request).items() if name != "delete_selected"}

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only an empty cluster can be deleted here: its notifications would go with it, however many."""
        allowed = super().has_delete_permission(request, obj)
        return allowed and (obj is None or not Notification.objects.filter(cluster=obj).exists())

    @admin.display(description=_("look at"))
    def contents(self, cluster: Cluster) -> SafeString:
        models = (Notification, NotificationLog, InboxItem, UserSettings)
        links = [
            list_of(self.admin_site, model, model._meta.verbose_name_plural, cluster=cluster.pk) for model in models
        ]
        return format_html_join(" · ", "{}", [(link,) for link in links])


if not Cluster._meta.swapped:
    admin.site.register(Cluster, ClusterAdmin)
