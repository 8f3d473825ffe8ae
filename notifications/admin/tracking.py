"""The admin of tracking events. The page is read-only."""

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from notifications.admin import columns, search
from notifications.admin.base import PermanentAdmin
from notifications.models import TrackingEvent


@admin.register(TrackingEvent)
class TrackingEventAdmin(PermanentAdmin):
    list_display = ("happened_at", "kind", "event_name", "delivery_link", "source", "is_machine", "detail")
    list_filter = ("kind", "is_machine", "happened_at")
    search_help_text = gettext_lazy("Enter the number of an event or of a delivery.")
    related_fields = ("delivery__notification", "link")
    indexed_lookups = ("id", "delivery")
    fieldsets = (
        (None, {"fields": ("happened_at", "recorded_at", "kind", "link_url", "machine_sign", "source", "detail")}),
        (gettext_lazy("Delivery"), {"fields": ("delivery_link", "event_name", "provider_message_id")}),
    )

    def get_search_condition(self, term: str) -> Q:
        return search.match_number(term, "pk", "delivery")

    def get_queryset(self, request: HttpRequest) -> QuerySet[TrackingEvent]:
        return super().get_queryset(request).defer("delivery__notification__context")

    @admin.display(description=gettext_lazy("link"))
    def link_url(self, row: TrackingEvent) -> str:
        return row.link.url if row.link else columns.EMPTY_VALUE

    @admin.display(description=gettext_lazy("event"))
    def event_name(self, row: TrackingEvent) -> str:
        return row.delivery.notification.event if row.delivery else columns.EMPTY_VALUE

    @admin.display(description=gettext_lazy("delivery"))
    def delivery_link(self, row: TrackingEvent) -> str:
        return columns.link_to_page(self.admin_site, row.delivery)
