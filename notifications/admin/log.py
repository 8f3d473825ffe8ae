"""The admin of the log. A row is shown even if its user, notification or delivery was deleted."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Model, Q
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from notifications.admin import columns, search
from notifications.admin.base import PermanentAdmin
from notifications.admin.filters import ChannelFilter, EventFilter, ReasonFilter, TimedClusterFilter
from notifications.models import Delivery, Notification, NotificationLog

BADGE_STYLES = {
    NotificationLog.Kind.DROP: "dropped",
    NotificationLog.Kind.PROVIDER_EVENT: "ready",
    NotificationLog.Kind.RESENT: "retry",
    NotificationLog.Kind.NOTE: "ready",
}


def render_outcome(row: NotificationLog) -> SafeString:
    """Render the outcome that a log row records, in one word."""
    if row.kind != NotificationLog.Kind.ATTEMPT:
        return columns.render_badge(row.get_kind_display(), BADGE_STYLES[NotificationLog.Kind(row.kind)])
    return columns.render_badge(_("accepted"), "sent") if row.success else columns.render_badge(_("failed"), "dead")


@admin.register(NotificationLog)
class NotificationLogAdmin(PermanentAdmin):
    list_display = (
        "sent_at",
        "outcome_and_reason",
        "event_and_channel",
        "recipient_and_address",
        "provider",
        "attempt",
    )
    list_filter = ("kind", "success", "sent_at", ChannelFilter, EventFilter, ReasonFilter, TimedClusterFilter)
    search_help_text = gettext_lazy(
        "Enter a complete login name, a recipient key such as u:42, a correlation id, or the number of an entry, "
        "notification or delivery."
    )
    related_fields = ("recipient", "cluster", "personal")
    indexed_lookups = ("id", "notification", "delivery", "recipient", "correlation_id")
    # The index of the cluster has this order.
    ordering: ClassVar[tuple[str, ...]] = ("-sent_at", "-id")
    fieldsets = (
        (None, {"fields": ("sent_at", "outcome", "event", "channel", "cluster_link")}),
        (gettext_lazy("Recipient"), {"fields": ("recipient_link", "recipient_key", "address")}),
        (
            gettext_lazy("Outcome"),
            {
                "fields": (
                    "reason_label",
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
            {"fields": ("notification_link", "delivery_link", "correlation_id", "context_json")},
        ),
    )

    def get_search_condition(self, term: str) -> Q:
        numbers = search.match_number(term, "pk", "notification", "delivery")
        return numbers | Q(correlation_id=term) | search.match_recipient(term)

    @admin.display(description=gettext_lazy("outcome"))
    def outcome(self, row: NotificationLog) -> SafeString:
        return render_outcome(row)

    @admin.display(description=gettext_lazy("outcome"))
    def outcome_and_reason(self, row: NotificationLog) -> SafeString:
        return columns.render_with_note(render_outcome(row), row.get_reason_display())

    @admin.display(description=gettext_lazy("event"))
    def event_and_channel(self, row: NotificationLog) -> SafeString:
        return columns.render_with_note(row.event, row.channel)

    @admin.display(description=gettext_lazy("recipient"))
    def recipient_and_address(self, row: NotificationLog) -> SafeString:
        return columns.render_with_note(columns.get_recipient_name(row), self.address(row))

    @admin.display(description=gettext_lazy("recipient"))
    def recipient_link(self, row: NotificationLog) -> str:
        return (
            columns.link_to_page(self.admin_site, row.recipient) if row.recipient else columns.get_recipient_name(row)
        )

    @admin.display(description=gettext_lazy("address"))
    def address(self, row: NotificationLog) -> str:
        return columns.format_masked_address(row.address)

    @admin.display(description=gettext_lazy("reason"))
    def reason_label(self, row: NotificationLog) -> str:
        return row.get_reason_display() or columns.EMPTY_VALUE

    @admin.display(description=gettext_lazy("cluster"))
    def cluster_link(self, row: NotificationLog) -> str:
        return columns.link_to_page(self.admin_site, row.cluster, row.cluster_id)

    @admin.display(description=gettext_lazy("notification"))
    def notification_link(self, row: NotificationLog) -> Any:
        return columns.link_to_page(
            self.admin_site, _get_existing_row(Notification, row.notification_id), row.notification_id
        )

    @admin.display(description=gettext_lazy("delivery"))
    def delivery_link(self, row: NotificationLog) -> Any:
        return columns.link_to_page(self.admin_site, _get_existing_row(Delivery, row.delivery_id), row.delivery_id)

    @admin.display(description=gettext_lazy("context"))
    def context_json(self, row: NotificationLog) -> Any:
        return columns.render_json(row.context_data)


def _get_existing_row(model: type[Model], pk: Any) -> Model | None:
    """Return the target of a foreign key of the log, or None if it was deleted. The keys have no constraint."""
    return model._default_manager.filter(pk=pk).first()
