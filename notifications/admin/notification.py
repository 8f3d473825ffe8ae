"""The admin of notifications: their options, and the states of their deliveries."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.db.models.functions import Length
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from notifications.admin import columns, search
from notifications.admin.base import PermanentAdmin
from notifications.admin.filters import ClusterFilter, EventFilter
from notifications.events import NOTIFICATION_EVENTS
from notifications.models import Delivery, Notification, NotificationLog
from notifications.outcomes import DeliveryState

HIDDEN = "•••"
MAX_COUNTED = 20_000


@admin.register(Notification)
class NotificationAdmin(PermanentAdmin):
    list_display = ("id", "event", "urgency", "cluster", "topic", "campaign", "created_at", "send_at")
    list_filter = (EventFilter, "priority", "created_at", ClusterFilter)
    search_help_text = _("Enter a number, or a complete correlation id or cancel key.")
    related_fields = ("cluster", "actor")
    indexed_lookups = ("id", "actor", "correlation_id", "cancel_key")
    # The filter of the time finds its rows in this order.
    ordering: ClassVar[tuple[str, ...]] = ("-created_at", "-id")
    fieldsets = (
        (None, {"fields": ("event", "urgency", "cluster", "actor", "topic", "campaign")}),
        (_("Times"), {"fields": ("created_at", "send_at", "expires_at", "cancelled_at")}),
        (_("Outcome"), {"fields": ("delivery_counts", "log_entries")}),
        (_("Content"), {"fields": ("loggable_context", "files")}),
        (_("Keys"), {"fields": ("correlation_id", "cancel_key", "idempotency_key")}),
    )

    def get_search_condition(self, term: str) -> Q:
        return search.match_number(term, "pk") | Q(correlation_id=term) | Q(cancel_key=term)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Notification]:
        # No column shows the context, and contexts can be large.
        return super().get_queryset(request).defer("context")

    @admin.display(description=_("priority"))
    def urgency(self, notification: Notification) -> SafeString:
        return columns.render_priority(notification)

    @admin.display(description=_("deliveries"))
    def delivery_counts(self, notification: Notification) -> SafeString | str:
        # A notification to everybody has millions of deliveries.
        first = notification.deliveries.order_by().values("pk")[: MAX_COUNTED + 1]
        rows = Delivery.objects.filter(pk__in=first).order_by("state")
        counts = list(rows.values_list("state").annotate(Count("pk")))
        links = [
            (
                columns.link_to_list(
                    self.admin_site, Delivery, DeliveryState(state).label, notification=notification.pk, state=state
                ),
                found,
            )
            for state, found in counts
        ]
        shown = format_html_join(", ", "{}: {}", links) or columns.EMPTY_VALUE
        if sum(found for _state, found in counts) <= MAX_COUNTED:
            return shown
        return columns.render_with_note(shown, _("Only %d deliveries were counted.") % MAX_COUNTED)

    @admin.display(description=_("log"))
    def log_entries(self, notification: Notification) -> SafeString | str:
        return columns.link_to_list(
            self.admin_site, NotificationLog, _("all attempts and drops"), notification=notification.pk
        )

    @admin.display(description=_("attachments"))
    def files(self, notification: Notification) -> SafeString | str:
        if not notification.attachment_bytes:
            return columns.EMPTY_VALUE
        found = notification.attachments.order_by("place").values_list("name", "mimetype", Length("content"))
        rows = [(name, mimetype, filesizeformat(size)) for name, mimetype, size in found]
        return format_html_join(", ", "{} ({}, {})", rows) or columns.EMPTY_VALUE

    @admin.display(description=_("context"))
    def loggable_context(self, notification: Notification) -> Any:
        """Show only the values that the event declares as loggable, because a context may contain one-time codes."""
        if notification.is_sensitive:
            return _("Hidden, because the event is sensitive.")
        event = NOTIFICATION_EVENTS.named(notification.event)
        loggable = event.loggable if event else ()
        return columns.render_json(
            {key: value if key in loggable else HIDDEN for key, value in notification.context.items()}
        )
