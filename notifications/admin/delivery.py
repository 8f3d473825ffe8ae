"""Deliveries: the outbox as a person sees it, with the two things that a person may do to it."""

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from notifications.admin import columns, search
from notifications.admin.base import Kept
from notifications.admin.confirmation import ask_or_act
from notifications.admin.delivery_actions import CANCEL, SEND_AGAIN
from notifications.admin.filters import ChannelFilter, ReasonFilter
from notifications.admin.log import outcome
from notifications.core.addresses import mask_address
from notifications.manager import NotificationManager
from notifications.models import Delivery, NotificationLog

ATTEMPTS_SHOWN = 20
# One by one, so that makemessages finds them.
HISTORY = (
    gettext_lazy("time"),
    gettext_lazy("outcome"),
    gettext_lazy("provider"),
    gettext_lazy("reason"),
    gettext_lazy("error message"),
)


@admin.register(Delivery)
class DeliveryAdmin(Kept):
    list_display = (
        "id",
        "state_and_reason",
        "event_and_channel",
        "recipient_and_address",
        "attempts",
        "when",
    )
    list_filter = ("state", ChannelFilter, ReasonFilter)
    search_help_text = gettext_lazy(
        "A login name, an address, a recipient key such as u:42, or the number of a delivery or a notification; "
        "written in full."
    )
    related = ("recipient", "notification")
    actions = ("send_again", "cancel")
    fieldsets = (
        (None, {"fields": ("state_shown", "reason_shown", "notification_page", "channel")}),
        (gettext_lazy("Recipient"), {"fields": ("recipient_page", "recipient_key", "masked_address")}),
        (gettext_lazy("Explanation"), {"fields": ("explanation",)}),
        (gettext_lazy("Attempts"), {"fields": ("history",)}),
        (
            gettext_lazy("Timeline"),
            {"fields": ("due_at", "settled_at", "attempts", "provider", "provider_message_id", "merged_page")},
        ),
        (
            gettext_lazy("Worker"),
            {"fields": ("score", "owner", "lease", "strikes", "fence", "epoch"), "classes": ("collapse",)},
        ),
    )

    def matching(self, term: str) -> Q:
        numbers = search.number(term, "pk", "notification")
        return numbers | search.recipient(term) | search.without_user(term)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Delivery]:
        return super().get_queryset(request).defer("notification__context")

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("klaxon.retry_delivery")

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("klaxon.cancel_delivery")

    @admin.action(permissions=["retry"], description=gettext_lazy("Send again"))
    def send_again(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> HttpResponse | None:
        return ask_or_act(SEND_AGAIN, self, request, queryset)

    @admin.action(permissions=["cancel"], description=gettext_lazy("Cancel"))
    def cancel(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> HttpResponse | None:
        return ask_or_act(CANCEL, self, request, queryset)

    @admin.display(description=gettext_lazy("state"))
    def state_shown(self, delivery: Delivery) -> SafeString:
        return columns.badge(delivery.get_state_display(), delivery.state)

    @admin.display(description=gettext_lazy("reason"))
    def reason_shown(self, delivery: Delivery) -> str:
        return delivery.get_reason_display() or columns.NOTHING

    @admin.display(description=gettext_lazy("when"))
    def when(self, delivery: Delivery) -> str:
        """When it is due, or when it came to its end."""
        if delivery.due_at is not None:
            return _("due %(when)s") % {"when": columns.format_time(delivery.due_at)}
        return columns.format_time(delivery.settled_at) if delivery.settled_at else columns.NOTHING

    @admin.display(description=gettext_lazy("event"))
    def event_and_channel(self, delivery: Delivery) -> SafeString:
        return columns.with_note(delivery.notification.event, delivery.channel)

    @admin.display(description=gettext_lazy("state"))
    def state_and_reason(self, delivery: Delivery) -> SafeString:
        return columns.with_note(self.state_shown(delivery), delivery.get_reason_display())

    @admin.display(description=gettext_lazy("recipient"))
    def recipient_and_address(self, delivery: Delivery) -> SafeString:
        return columns.with_note(columns.recipient_name(delivery), self.masked_address(delivery))

    @admin.display(description=gettext_lazy("recipient"))
    def recipient_page(self, delivery: Delivery) -> str:
        if delivery.recipient is None:
            return columns.recipient_name(delivery)
        return columns.page_of(self.admin_site, delivery.recipient)

    @admin.display(description=gettext_lazy("address"))
    def masked_address(self, delivery: Delivery) -> str:
        return columns.address_shown(mask_address(delivery.address))

    @admin.display(description=gettext_lazy("notification"))
    def notification_page(self, delivery: Delivery) -> str:
        return columns.page_of(self.admin_site, delivery.notification)

    @admin.display(description=gettext_lazy("merged into"))
    def merged_page(self, delivery: Delivery) -> str:
        return columns.page_of(self.admin_site, delivery.merged_into)

    @admin.display(description=gettext_lazy("explanation"))
    def explanation(self, delivery: Delivery) -> SafeString | str:
        """Why it did or did not go out and, while it waits, gate by gate what is asked of it."""
        try:
            told = NotificationManager.why(delivery)
        except ImportError as error:
            return _("This cannot be told while something that the settings name cannot be imported: %(error)s") % {
                "error": error
            }
        steps = [(step, step.until(told.zone)) for step in told.channels[0].steps]
        return render_to_string("admin/klaxon/delivery/explanation.html", {"told": told.channels[0], "steps": steps})

    @admin.display(description=gettext_lazy("attempts"))
    def history(self, delivery: Delivery) -> SafeString | str:
        """What the log says about it, the latest first."""
        rows = NotificationLog.objects.filter(delivery=delivery).order_by("-id")[:ATTEMPTS_SHOWN]
        lines = format_html_join(
            "",
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            [
                (
                    columns.format_time(row.sent_at),
                    outcome(row),
                    row.provider,
                    row.get_reason_display(),
                    row.error_message,
                )
                for row in rows
            ],
        )
        if not lines:
            return _("Not tried yet.")
        headings = format_html_join("", '<th scope="col">{}</th>', [(heading,) for heading in HISTORY])
        return format_html(
            '<table class="klaxon-history"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>', headings, lines
        )
