"""Acknowledgements: who has taken note of what. Shown, and deletable, because deleting a user takes them along."""

from django.contrib import admin
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from notifications.admin import search
from notifications.admin.base import ViewOnly
from notifications.models import Acknowledgement


@admin.register(Acknowledgement)
class AcknowledgementAdmin(ViewOnly):
    list_display = ("id", "notification", "user", "at")
    list_display_links = ("id", "notification")
    search_help_text = _("A login name, an email address of an account, a recipient key such as u:42, or a number.")
    related = ("notification", "user")
    fieldsets = ((None, {"fields": ("notification", "user", "at")}),)

    def matching(self, term: str) -> Q:
        return search.number(term, "pk", "notification") | search.recipient(term, "user")
