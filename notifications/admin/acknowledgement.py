"""The admin of acknowledgements. They can be deleted, because deleting a user deletes them too."""

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from notifications.admin import search
from notifications.admin.base import ViewOnlyAdmin
from notifications.models import Acknowledgement


@admin.register(Acknowledgement)
class AcknowledgementAdmin(ViewOnlyAdmin):
    list_display = ("id", "notification", "user", "at")
    list_display_links = ("id", "notification")
    search_help_text = _(
        "Enter a complete login name or email address of an account, a recipient key such as u:42, or a number."
    )
    related_fields = ("notification", "user")
    indexed_lookups = ("id", "notification", "user")
    fieldsets = ((None, {"fields": ("notification", "user", "at")}),)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Acknowledgement]:
        return super().get_queryset(request).defer("notification__context")

    def get_search_condition(self, term: str) -> Q:
        return search.match_number(term, "pk", "notification") | search.match_recipient(term, "user")
