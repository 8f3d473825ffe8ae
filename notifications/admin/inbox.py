"""The admin of inbox items. They can be deleted, because deleting a user deletes them too."""

from django.contrib import admin
from django.db.models import Q
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from notifications.admin import columns, search
from notifications.admin.base import ViewOnlyAdmin
from notifications.admin.filters import ClusterFilter, EventFilter, ReadFilter
from notifications.models import InboxItem


@admin.register(InboxItem)
class InboxItemAdmin(ViewOnlyAdmin):
    list_display = ("id", "title", "recipient", "urgency", "event", "cluster", "created_at", "is_read")
    list_display_links = ("id", "title")
    list_filter = (ReadFilter, "priority", EventFilter, ClusterFilter)
    search_help_text = _("Enter a complete login name, a recipient key such as u:42, or a number.")
    related_fields = ("recipient", "cluster")
    indexed_lookups = ("id", "recipient", "delivery")
    fieldsets = (
        (None, {"fields": ("title", "body", "recipient", "cluster")}),
        (_("Details"), {"fields": ("event", "urgency", "topic", "url", "actor_name", "group_key", "delivery_number")}),
        (_("Times"), {"fields": ("created_at", "seen_at", "read_at", "archived_at", "snoozed_until")}),
        (_("Action"), {"fields": ("action_taken", "acted_at")}),
    )

    def get_search_condition(self, term: str) -> Q:
        return search.match_number(term, "pk") | search.match_recipient(term)

    @admin.display(description=_("priority"))
    def urgency(self, item: InboxItem) -> SafeString:
        return columns.render_priority(item)

    @admin.display(description=_("read"), boolean=True)
    def is_read(self, item: InboxItem) -> bool:
        return item.read_at is not None

    @admin.display(description=_("delivery"))
    def delivery_number(self, item: InboxItem) -> str:
        # Only the number, because the delivery may have been deleted.
        return str(item.delivery_id or columns.EMPTY_VALUE)
