"""The admin of push subscriptions, which answers in which browsers a user gets push messages."""

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from notifications.admin import search
from notifications.admin.base import LargeTableAdmin
from notifications.models import PushSubscription


@admin.register(PushSubscription)
class PushSubscriptionAdmin(LargeTableAdmin):
    """The subscriptions. Only a browser can add one; its keys are not shown."""

    list_display = ("id", "user", "browser", "created_at", "accepted_at")
    list_display_links = ("id", "user")
    search_help_text = _("Enter a login name or email address of an account, or a recipient key such as u:42.")
    related_fields = ("user",)
    fields = readonly_fields = ("user", "browser", "endpoint", "created_at", "accepted_at")

    def get_search_condition(self, term: str) -> Q:
        return search.match_number(term, "pk") | search.match_recipient(term, "user")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: PushSubscription | None = None) -> bool:
        return False
