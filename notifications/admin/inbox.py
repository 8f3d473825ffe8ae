"""Inbox items: what users see. Shown, and deletable, because deleting a user takes them along."""

from django.contrib import admin
from django.db.models import Q
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from notifications.admin import columns, search
from notifications.admin.base import ViewOnly
from notifications.admin.filters import ClusterFilter, EventFilter, ReadFilter
from notifications.models import InboxItem


@admin.register(InboxItem)
class InboxItemAdmin(ViewOnly):
    list_display = ("id", "title", "recipient", "urgency", "event", "cluster", "created_at", "is_read")
    list_display_links = ("id", "title")
    list_filter = (ReadFilter, "priority", EventFilter, ClusterFilter)
    search_help_text = _("A login name, a recipient key such as u:42, or a number; written in full.")
    related = ("recipient", "cluster")
    fieldsets = (
        (None, {"fields": ("title", "body", "recipient", "cluster")}),
        (_("Details"), {"fields": ("event", "urgency", "topic", "created_at", "read_at", "delivery_number")}),
    )

    def matching(self, term: str) -> Q:
        return search.number(term, "pk") | search.recipient(term)

    @admin.display(description=_("priority"))
    def urgency(self, item: InboxItem) -> SafeString:
        return columns.priority_badge(item)

    @admin.display(description=_("read"), boolean=True)
    def is_read(self, item: InboxItem) -> bool:
        return item.read_at is not None

    @admin.display(description=_("delivery"))
    def delivery_number(self, item: InboxItem) -> str:
        # The number only: the delivery may have been purged, the item outlives it.
        return str(item.delivery_id or columns.NOTHING)
