"""The admin of clusters, for sites without their own cluster model."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from notifications.admin import members
from notifications.admin.base import StyledAdmin
from notifications.admin.columns import link_to_list
from notifications.models import Cluster, InboxItem, Notification, NotificationLog, UserSettings

LISTED = 50


class ClusterAdmin(StyledAdmin):
    form = members.ClusterForm
    list_display = ("name", "slug", "open_to_all")
    list_filter = ("open_to_all",)
    search_fields = ("name", "slug")
    prepopulated_fields = {"slug": ("name",)}
    readonly_fields = ("contents",)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        may_add = self.has_change_permission(request, obj) if obj else True
        return ("name", "slug", "open_to_all", *(("contents",) if obj else ()), *((members.ADDED,) if may_add else ()))

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        form.base_fields[members.ADDED] = members.make_user_field(self, request)
        return form

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("obj") is not None:
            context.update(members.build_context(kwargs["obj"], context["adminform"].form, self, request))
        return super().render_change_form(request, context, *args, **kwargs)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        added, removed = form.cleaned_data[members.ADDED], form.cleaned_data[members.REMOVED]
        form.history = members.save_members(form.instance, added, removed)

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> Any:
        return [*super().construct_change_message(request, form, formsets, add), *form.history]

    def get_actions(self, request: HttpRequest, action_location: Any = None) -> dict[str, Any]:
        # Deleting several clusters would collect all their rows before has_delete_permission() is called for each.
        # Django 6.1 passes the location of the actions.
        place = {} if action_location is None else {"action_location": action_location}
        actions = super().get_actions(request, **place)
        return {name: action for name, action in actions.items() if name != "delete_selected"}

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only a cluster without notifications can be deleted, because deleting it deletes its notifications."""
        allowed = super().has_delete_permission(request, obj)
        return allowed and (obj is None or not Notification.objects.filter(cluster=obj).exists())

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[Any, Any, Any, Any]:
        """The confirmation page counts all members, but lists only the first of them."""
        found, counts, lacking, protected = super().get_deleted_objects(objs, request)
        return [_shorten(item) for item in found], counts, lacking, protected

    @admin.display(description=_("contents"))
    def contents(self, cluster: Cluster) -> SafeString:
        models = (Notification, NotificationLog, InboxItem, UserSettings)
        links = [
            link_to_list(self.admin_site, model, model._meta.verbose_name_plural, cluster=cluster.pk)
            for model in models
        ]
        return format_html_join(" · ", "{}", [(link,) for link in links])


def _shorten(item: Any) -> Any:
    """Truncate the nested lists in which Django shows the objects that would be deleted."""
    return [*map(_shorten, item[:LISTED]), *(["…"] if len(item) > LISTED else [])] if isinstance(item, list) else item


if not Cluster._meta.swapped:
    admin.site.register(Cluster, ClusterAdmin)
