"""The admin of user settings, which answers why a user gets no email."""

from django.contrib import admin
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from notifications.admin import columns, search
from notifications.admin.audited import AuditedAdmin
from notifications.admin.base import LargeTableAdmin
from notifications.admin.filters import ClusterFilter
from notifications.admin.forms import UserSettingsForm
from notifications.admin.relations import AutocompleteAdmin
from notifications.models import UserSettings
from notifications.models.preferences import normalize_keys


@admin.register(UserSettings)
class UserSettingsAdmin(AutocompleteAdmin, AuditedAdmin, LargeTableAdmin):
    form = UserSettingsForm
    list_display = ("id", "user", "cluster", "disabled_channels", "language", "time_zone")
    list_display_links = ("id", "user")
    list_filter = (ClusterFilter,)
    search_help_text = _(
        "Enter a complete login name or email address of an account, a recipient key such as u:42, or a number."
    )
    related_fields = ("user", "cluster")
    raw_id_fields = ("user", "cluster")
    fieldsets = (
        (None, {"fields": ("user", "cluster")}),
        (_("Choices"), {"fields": ("channels", "categories", "events", "addresses")}),
        (_("Language and time zone"), {"fields": ("language", "time_zone")}),
        (_("Quiet hours and delivery windows"), {"fields": (("quiet_from", "quiet_until"), "delivery_windows")}),
        (_("Digest"), {"fields": (("digest", "digest_hour", "digest_day"),)}),
    )

    def get_search_condition(self, term: str) -> Q:
        return search.match_number(term, "pk") | search.match_recipient(term, "user")

    @admin.display(description=_("disabled channels"))
    def disabled_channels(self, user_settings: UserSettings) -> str:
        disabled = sorted(
            name for name, is_enabled in normalize_keys(user_settings.channels).items() if is_enabled is False
        )
        return ", ".join(disabled) or columns.EMPTY_VALUE
