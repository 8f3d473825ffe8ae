"""The log. Its rows outlive the users, notifications and deliveries that they name, and are shown all the same."""

from typing import Any

from django.contrib import admin
from django.db.models import Model, Q
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from notifications.admin import columns, search
from notifications.admin.base import Kept
from notifications.admin.filters import ChannelFilter, ClusterFilter, EventFilter, ReasonFilter
from notifications.models import Delivery, Notification, NotificationLog

LOOKS = {
    NotificationLog.Kind.DROP: "dropped",
    NotificationLog.Kind.PROVIDER_EVENT: "ready",
    NotificationLog.Kind.RESENT: "retry",
    NotificationLog.Kind.NOTE: "ready",
}


def outcome(row: NotificationLog) -> SafeString:
    """In one word what this row tells."""
    if row.kind != NotificationLog.Kind.ATTEMPT:
        return columns.badge(row.get_kind_display(), LOOKS[NotificationLog.Kind(row.kind)])
    return columns.badge(_("accepted"), "sent") if row.success else columns.badge(_("failed"), "dead")


@admin.register(NotificationLog)
class NotificationLogAdmin(Kept):
    list_display = (
        "sent_at",
        "outcome_and_reason",
        "event_and_channel",
        "recipient_and_address",
        "provider",
        "attempt",
    )
    list_filter = ("kind", "success", "sent_at", ChannelFilter, EventFilter, ReasonFilter, ClusterFilter)
    search_help_text = gettext_lazy(
        "A login name, a recipient key such as u:42, a correlation id, or the number of an entry, a notification or a "
        "delivery; written in full."
    )
    related = ("recipient", "cluster", "personal")
    fieldsets = (
        (None, {"fields": ("sent_at", "outcome", "event", "channel", "cluster_shown")}),
        (gettext_lazy("Recipient"), {"fields": ("recipient_page", "recipient_key", "address")}),
        (
            gettext_lazy("Outcome"),
            {
                "fields": (
                    "reason_shown",
                    "error_message",
                    "provider",
                    "provider_message_id",
                    "attempt",
                    "epoch",
                    "duration",
                )
            },
        ),
        (
            gettext_lazy("Related"),
            {"fields": ("notification_page", "delivery_page", "correlation_id", "context_shown")},
        ),
    )

    def matching(self, term: str) -> Q:
        numbers = search.number(term, "pk", "notification", "delivery")
        return numbers | Q(correlation_id=term) | search.recipient(term)

    @admin.display(description=gettext_lazy("outcome"))
    def outcome(self, row: NotificationLog) -> SafeString:
        return outcome(row)

    @admin.display(description=gettext_lazy("outcome"))
    def outcome_and_reason(self, row: NotificationLog) -> SafeString:
        return columns.with_note(outcome(row), row.get_reason_display())

    @admin.display(description=gettext_lazy("event"))
    def event_and_channel(self, row: NotificationLog) -> SafeString:
        return columns.with_note(row.event, row.channel)

    @admin.display(description=gettext_lazy("recipient"))
    def recipient_and_address(self, row: NotificationLog) -> SafeString:
        return columns.with_note(columns.recipient_name(row), self.address(row))

    @admin.display(description=gettext_lazy("recipient"))
    def recipient_page(self, row: NotificationLog) -> str:
        return columns.page_of(self.admin_site, row.recipient) if row.recipient else columns.recipient_name(row)

    @admin.display(description=gettext_lazy("address"))
    def address(self, row: NotificationLog) -> str:
        return columns.address_shown(row.address)

    @admin.display(description=gettext_lazy("reason"))
    def reason_shown(self, row: NotificationLog) -> str:
        return row.get_reason_display() or columns.NOTHING

    @admin.display(description=gettext_lazy("cluster"))
    def cluster_shown(self, row: NotificationLog) -> str:
        return columns.page_of(self.admin_site, row.cluster, row.cluster_id)

    @admin.display(description=gettext_lazy("notification"))
    def notification_page(self, row: NotificationLog) -> Any:
        return columns.page_of(self.admin_site, _still_there(Notification, row.notification_id), row.notification_id)

    @admin.display(description=gettext_lazy("delivery"))
    def delivery_page(self, row: NotificationLog) -> Any:
        return columns.page_of(self.admin_site, _still_there(Delivery, row.delivery_id), row.delivery_id)

    @admin.display(description=gettext_lazy("context"))
    def context_shown(self, row: NotificationLog) -> Any:
        return columns.json_block(row.context_data)


def _still_there(model: type[Model], pk: Any) -> Model | None:
    """What a foreign key of the log points at, or None: nothing keeps its target from being deleted."""
    return model._default_manager.filter(pk=pk).first()
