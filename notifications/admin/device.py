"""The admin of devices, which answers on which phones a user gets push messages."""

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from notifications.admin import search
from notifications.admin.base import LargeTableAdmin
from notifications.models import Device


@admin.register(Device)
class DeviceAdmin(LargeTableAdmin):
    """The devices. Only the site's app can add one; its token is not shown in full."""

    list_display = ("id", "user", "name", "platform", "registered_at", "accepted_at")
    list_display_links = ("id", "user")
    search_help_text = _("Enter a login name or email address of an account, or a recipient key such as u:42.")
    related_fields = ("user",)
    fields = readonly_fields = ("user", "name", "platform", "show_token", "registered_at", "accepted_at")

    @admin.display(description=_("registration token"))
    def show_token(self, device: Device) -> str:
        return device.masked_token

    def get_search_condition(self, term: str) -> Q:
        return search.match_number(term, "pk") | search.match_recipient(term, "user")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Device | None = None) -> bool:
        return False
