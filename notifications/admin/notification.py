"""Notifications: what was asked for, and what became of it."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.db.models.functions import Length
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from notifications.admin import columns, search
from notifications.admin.base import Kept
from notifications.admin.filters import ClusterFilter, EventFilter
from notifications.events import NOTIFICATION_EVENTS
from notifications.models import Delivery, Notification, NotificationLog
from notifications.outcomes import DeliveryState

HIDDEN = "•••"


@admin.register(Notification)
class NotificationAdmin(Kept):
    list_display = ("id", "event", "urgency", "cluster", "topic", "campaign", "created_at", "send_at")
    list_filter = (EventFilter, "priority", "created_at", ClusterFilter)
    search_help_text = _("A number, a correlation id or a cancel key, written in full.")
    related = ("cluster", "actor")
    fieldsets = (
        (None, {"fields": ("event", "urgency", "cluster", "actor", "topic", "campaign")}),
        (_("Times"), {"fields": ("created_at", "send_at", "expires_at", "cancelled_at")}),
        (_("Outcome"), {"fields": ("became", "log_entries")}),
        (_("Content"), {"fields": ("shown_context", "files")}),
        (_("Keys"), {"fields": ("correlation_id", "cancel_key", "idempotency_key")}),
    )

    def matching(self, term: str) -> Q:
        return search.number(term, "pk") | Q(correlation_id=term) | Q(cancel_key=term)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Notification]:
        # A list of fifty contexts that no column shows would be most of what is read.
        return super().get_queryset(request).defer("context")

    @admin.display(description=_("priority"))
    def urgency(self, notification: Notification) -> SafeString:
        return columns.priority_badge(notification)

    @admin.display(description=_("deliveries"))
    def became(self, notification: Notification) -> SafeString | str:
        counts = notification.deliveries.values_list("state").annotate(Count("pk")).order_by("state")
        links = [
            (
                columns.list_of(
                    self.admin_site, Delivery, DeliveryState(state).label, notification=notification.pk, state=state
                ),
                found,
            )
            for state, found in counts
        ]
        return format_html_join(", ", "{}: {}", links) or columns.NOTHING

    @admin.display(description=_("log"))
    def log_entries(self, notification: Notification) -> SafeString | str:
        return columns.list_of(
            self.admin_site, NotificationLog, _("every attempt and drop"), notification=notification.pk
        )

    @admin.display(description=_("attachments"))
    def files(self, notification: Notification) -> SafeString | str:
        if not notification.attachment_bytes:
            return columns.NOTHING
        found = notification.attachments.order_by("place").values_list("name", "mimetype", Length("content"))
        rows = [(name, mimetype, filesizeformat(size)) for name, mimetype, size in found]
        return format_html_join(", ", "{} ({}, {})", rows) or columns.NOTHING

    @admin.display(description=_("context"))
    def shown_context(self, notification: Notification) -> Any:
        """Only what the event calls loggable: a context may hold one-time codes."""
        event = NOTIFICATION_EVENTS.named(notification.event)
        shown = event.loggable if event else ()
        return columns.json_block(
            {key: value if key in shown else HIDDEN for key, value in notification.context.items()}
        )
