"""The admin of deliveries, with actions to send them again and to cancel them."""

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from notifications.admin import columns, search
from notifications.admin.base import PermanentAdmin
from notifications.admin.confirmation import confirm_or_run
from notifications.admin.delivery_actions import CANCEL, SEND_AGAIN
from notifications.admin.filters import ChannelFilter, DeliveryStateFilter, ReasonFilter
from notifications.admin.log import render_outcome
from notifications.core.addresses import mask_address
from notifications.manager import NotificationManager
from notifications.models import Delivery, NotificationLog, TrackingEvent

LISTED_ATTEMPTS = 20
# Separate calls, so that makemessages finds the texts.
HISTORY_HEADINGS = (
    gettext_lazy("time"),
    gettext_lazy("outcome"),
    gettext_lazy("provider"),
    gettext_lazy("reason"),
    gettext_lazy("error message"),
)


@admin.register(Delivery)
class DeliveryAdmin(PermanentAdmin):
    list_display = (
        "id",
        "state_and_reason",
        "event_and_channel",
        "recipient_and_address",
        "attempts",
        "when",
    )
    list_filter = (DeliveryStateFilter, ChannelFilter, ReasonFilter)
    search_help_text = gettext_lazy(
        "Enter a complete login name, address or recipient key such as u:42, or the number of a delivery or "
        "notification."
    )
    related_fields = ("recipient", "notification")
    indexed_lookups = ("id", "notification", "recipient")
    actions = ("send_again", "cancel")
    fieldsets = (
        (None, {"fields": ("state_badge", "reason_label", "notification_link", "channel")}),
        (gettext_lazy("Recipient"), {"fields": ("recipient_link", "recipient_key", "masked_address")}),
        (gettext_lazy("Explanation"), {"fields": ("explanation",)}),
        (gettext_lazy("Attempts"), {"fields": ("history", "tracking_events")}),
        (
            gettext_lazy("Timeline"),
            {"fields": ("due_at", "settled_at", "attempts", "provider", "provider_message_id", "merged_into_link")},
        ),
        (
            gettext_lazy("Worker"),
            {"fields": ("score", "owner", "lease", "strikes", "fence", "epoch"), "classes": ("collapse",)},
        ),
    )

    def get_search_condition(self, term: str) -> Q:
        numbers = search.match_number(term, "pk", "notification")
        return numbers | search.match_recipient(term) | search.match_without_user(term)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Delivery]:
        return super().get_queryset(request).defer("notification__context")

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("klaxon.retry_delivery")

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("klaxon.cancel_delivery")

    @admin.action(permissions=["retry"], description=gettext_lazy("Send again"))
    def send_again(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> HttpResponse | None:
        return confirm_or_run(SEND_AGAIN, self, request, queryset)

    @admin.action(permissions=["cancel"], description=gettext_lazy("Cancel"))
    def cancel(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> HttpResponse | None:
        return confirm_or_run(CANCEL, self, request, queryset)

    @admin.display(description=gettext_lazy("state"))
    def state_badge(self, delivery: Delivery) -> SafeString:
        return columns.render_badge(delivery.get_state_display(), delivery.state)

    @admin.display(description=gettext_lazy("reason"))
    def reason_label(self, delivery: Delivery) -> str:
        return delivery.get_reason_display() or columns.EMPTY_VALUE

    @admin.display(description=gettext_lazy("when"))
    def when(self, delivery: Delivery) -> str:
        """Return the time at which the delivery is due or was settled."""
        if delivery.due_at is not None:
            return _("due %(when)s") % {"when": columns.format_time(delivery.due_at)}
        return columns.format_time(delivery.settled_at) if delivery.settled_at else columns.EMPTY_VALUE

    @admin.display(description=gettext_lazy("event"))
    def event_and_channel(self, delivery: Delivery) -> SafeString:
        return columns.render_with_note(delivery.notification.event, delivery.channel)

    @admin.display(description=gettext_lazy("state"))
    def state_and_reason(self, delivery: Delivery) -> SafeString:
        return columns.render_with_note(self.state_badge(delivery), delivery.get_reason_display())

    @admin.display(description=gettext_lazy("recipient"))
    def recipient_and_address(self, delivery: Delivery) -> SafeString:
        return columns.render_with_note(columns.get_recipient_name(delivery), self.masked_address(delivery))

    @admin.display(description=gettext_lazy("recipient"))
    def recipient_link(self, delivery: Delivery) -> str:
        if delivery.recipient is None:
            return columns.get_recipient_name(delivery)
        return columns.link_to_page(self.admin_site, delivery.recipient)

    @admin.display(description=gettext_lazy("address"))
    def masked_address(self, delivery: Delivery) -> str:
        return columns.format_masked_address(mask_address(delivery.address))

    @admin.display(description=gettext_lazy("notification"))
    def notification_link(self, delivery: Delivery) -> str:
        return columns.link_to_page(self.admin_site, delivery.notification)

    @admin.display(description=gettext_lazy("merged into"))
    def merged_into_link(self, delivery: Delivery) -> str:
        return columns.link_to_page(self.admin_site, delivery.merged_into)

    @admin.display(description=gettext_lazy("tracking events"))
    def tracking_events(self, delivery: Delivery) -> SafeString | str:
        return columns.link_to_list(
            self.admin_site, TrackingEvent, _("bounces, complaints, opens and clicks"), delivery=delivery.pk
        )

    @admin.display(description=gettext_lazy("explanation"))
    def explanation(self, delivery: Delivery) -> SafeString | str:
        """Explain why the delivery was or was not sent and, while it waits, the decision of each gate."""
        try:
            explanation = NotificationManager.why(delivery)
        except ImportError as error:
            return _(
                "There is no explanation, because an object that the settings name cannot be imported: %(error)s"
            ) % {"error": error}
        channel = explanation.channels[0]
        steps = [(step, step.until(explanation.zone)) for step in channel.steps]
        return render_to_string("admin/klaxon/delivery/explanation.html", {"channel": channel, "steps": steps})

    @admin.display(description=gettext_lazy("attempts"))
    def history(self, delivery: Delivery) -> SafeString | str:
        """Render the log rows of the delivery, the latest first."""
        rows = NotificationLog.objects.filter(delivery=delivery).order_by("-id")[:LISTED_ATTEMPTS]
        lines = format_html_join(
            "",
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            [
                (
                    columns.format_time(row.sent_at),
                    render_outcome(row),
                    row.provider,
                    row.get_reason_display(),
                    row.error_message,
                )
                for row in rows
            ],
        )
        if not lines:
            return _("There are no attempts yet.")
        headings = format_html_join("", '<th scope="col">{}</th>', [(heading,) for heading in HISTORY_HEADINGS])
        return format_html(
            '<table class="klaxon-history"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>', headings, lines
        )
