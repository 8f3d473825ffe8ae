"""The admin of CAN buses: which faults and alerts stand, who has acknowledged them, and which devices were seen."""

from collections.abc import Iterator
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.db import router, transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from notifications.admin import search
from notifications.admin.base import PermanentAdmin
from notifications.admin.columns import EMPTY_VALUE, format_time, render_badge, render_with_note
from notifications.admin.confirmation import MAX_ROWS, list_selected
from notifications.admin.filters import ChoiceBoxFilter, Choices
from notifications.core import clock
from notifications.models import CanAlert, CanDevice, CanFault
from notifications.models.can_state import Severity

MAX_BUSES = 50
LOOKS = {Severity.INFO: "ready", Severity.WARNING: "held", Severity.CRITICAL: "dead"}
HEXADECIMAL = 16
MAX_ADDRESS = 255


class BusFilter(ChoiceBoxFilter):
    """The buses on which devices were seen."""

    title = gettext_lazy("bus")
    parameter_name = "bus"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        buses = CanDevice.objects.order_by("bus").values_list("bus", flat=True).distinct()
        return [(bus, bus) for bus in buses[:MAX_BUSES]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(bus=self.value()) if self.value() else queryset


class StateFilter(admin.SimpleListFilter):
    """Shows what stands, unless something else is chosen."""

    title = gettext_lazy("state")
    parameter_name = "state"
    is_always_active = True

    @property
    def is_indexed(self) -> bool:
        """Whether an index finds the rows; the one of what stands is small."""
        return self.value() in (None, "open")

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [("open", _("not acknowledged")), ("ended", _("ended")), ("all", _("all"))]

    def choices(self, changelist: Any) -> Iterator[Any]:
        standing, *others = super().choices(changelist)
        yield {**standing, "display": _("standing")}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        standing = Q((self.get_end(queryset), None))
        if self.value() == "all":
            return queryset
        if self.value() == "ended":
            return queryset.exclude(standing)
        if self.value() == "open":
            return queryset.filter(standing, acknowledged_at=None)
        return queryset.filter(standing)

    @staticmethod
    def get_end(queryset: QuerySet[Any]) -> str:
        return "cleared_at" if queryset.model is CanFault else "ended_at"


class StandingAdmin(PermanentAdmin):
    """The base of what stands on a bus and can be acknowledged. Only the bridge adds and changes rows."""

    list_filter = (StateFilter, "severity", BusFilter)
    related_fields = ("acknowledged_by",)
    actions = ("acknowledge",)
    list_display_links = ("subject",)
    has_indexed_search = False
    end_field: ClassVar[str]

    def get_search_condition(self, term: str) -> Q:
        return Q(bus=term) | Q(correlation_id=term) | match_address(term)

    def has_acknowledge_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("klaxon.acknowledge_canfault")

    @admin.action(permissions=["acknowledge"], description=gettext_lazy("Acknowledge"))
    def acknowledge(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        using = router.db_for_write(self.model)
        keys = list_selected(queryset, MAX_ROWS + 1)
        if len(keys) > MAX_ROWS:
            text = _("Select at most %d rows. Nothing was acknowledged.") % MAX_ROWS
            self.message_user(request, text, messages.ERROR)
            return
        with transaction.atomic(using=using):
            # Without the joins of the list, and in the database that the bridge writes to.
            chosen = self.model._default_manager.using(using).filter(pk__in=keys)
            rows = list(chosen.standing().filter(acknowledged_at=None).select_for_update())
            count = chosen.filter(pk__in=[row.pk for row in rows]).acknowledge(request.user, clock.now(using))
            LogEntry.objects.log_actions(request.user.pk, rows, CHANGE, "acknowledged")  # type: ignore[arg-type]
        done = ngettext("%d row was acknowledged.", "%d rows were acknowledged.", count) % count
        self.message_user(request, done, messages.SUCCESS if count else messages.WARNING)

    @admin.display(description=gettext_lazy("severity"))
    def shown_severity(self, row: Any) -> SafeString:
        return render_badge(row.get_severity_display(), LOOKS.get(row.severity, "unknown"))

    @admin.display(description=gettext_lazy("state"))
    def state(self, row: Any) -> SafeString:
        ended_at = getattr(row, self.end_field)
        if ended_at is not None:
            return render_with_note(_("ended"), format_time(ended_at))
        if row.acknowledged_at is None:
            return render_with_note(_("standing"), "")
        by = row.acknowledged_by or _("a deleted user")
        return render_with_note(_("acknowledged"), f"{by}, {format_time(row.acknowledged_at)}")


@admin.register(CanFault)
class CanFaultAdmin(StandingAdmin):
    """The faults that devices report."""

    end_field = "cleared_at"
    list_display = ("subject", "shown_problem", "shown_severity", "state", "raised_at", "last_seen_at", "bus")
    search_help_text = gettext_lazy("Enter a bus, an address such as 0x45, an SPN, or a correlation id.")
    fieldsets = (
        (None, {"fields": ("subject", "bus", "protocol", "shown_address", "spn", "fmi", "problem", "lamps", "count")}),
        (
            gettext_lazy("State"),
            {"fields": ("shown_severity", "state", "raised_at", "last_seen_at", "cleared_at", "flaps")},
        ),
        (gettext_lazy("Acknowledgement"), {"fields": ("acknowledged_at", "acknowledged_by", "correlation_id")}),
    )

    def get_search_condition(self, term: str) -> Q:
        return super().get_search_condition(term) | match_address(term, "dsa") | search.match_number(term, "spn")

    @admin.display(description=gettext_lazy("device"))
    def subject(self, row: CanFault) -> str:
        return f"0x{row.dsa:02X}" if row.instance is None else f"0x{row.dsa:02X} ({row.instance})"

    @admin.display(description=gettext_lazy("source address"))
    def shown_address(self, row: CanFault) -> str:
        return f"0x{row.source_address:02X}"

    @admin.display(description=gettext_lazy("problem"))
    def shown_problem(self, row: CanFault) -> SafeString:
        return render_with_note(row.problem, f"SPN {row.spn}, FMI {row.fmi}")


@admin.register(CanAlert)
class CanAlertAdmin(StandingAdmin):
    """The alerts of rules about signals and silence."""

    end_field = "ended_at"
    list_display = ("subject", "shown_value", "shown_severity", "state", "begun_at", "last_sent_at", "bus")
    search_help_text = gettext_lazy("Enter the name of a rule, a bus, an address such as 0x45, or a correlation id.")
    fieldsets = (
        (None, {"fields": ("rule", "bus", "shown_address", "instance", "value", "text")}),
        (gettext_lazy("State"), {"fields": ("shown_severity", "state", "begun_at", "last_sent_at", "ended_at")}),
        (gettext_lazy("Acknowledgement"), {"fields": ("acknowledged_at", "acknowledged_by", "correlation_id")}),
    )

    def get_search_condition(self, term: str) -> Q:
        return super().get_search_condition(term) | Q(rule=term)

    @admin.display(description=gettext_lazy("rule"))
    def subject(self, row: CanAlert) -> str:
        return row.rule

    @admin.display(description=gettext_lazy("source address"))
    def shown_address(self, row: CanAlert) -> str:
        return EMPTY_VALUE if row.source_address is None else f"0x{row.source_address:02X}"

    @admin.display(description=gettext_lazy("value"))
    def shown_value(self, row: CanAlert) -> SafeString:
        return render_with_note(row.value or EMPTY_VALUE, row.text)


@admin.register(CanDevice)
class CanDeviceAdmin(PermanentAdmin):
    """The devices that have sent frames."""

    has_indexed_search = False

    list_display = ("shown_address", "bus", "name", "frames", "first_seen_at", "last_seen_at")
    list_display_links = ("shown_address",)
    list_filter = (BusFilter,)
    search_help_text = gettext_lazy("Enter a bus, an address such as 0x45, or a NAME.")
    fieldsets = ((None, {"fields": ("shown_address", "bus", "name", "frames", "first_seen_at", "last_seen_at")}),)

    def get_search_condition(self, term: str) -> Q:
        return Q(bus=term) | Q(name=term.lower()) | match_address(term)

    @admin.display(description=gettext_lazy("source address"))
    def shown_address(self, row: CanDevice) -> str:
        return f"0x{row.source_address:02X}"


def match_address(term: str, column: str = "source_address") -> Q:
    """Return the condition that a column is an address such as 0x45."""
    try:
        address = int(term, HEXADECIMAL) if term.lower().startswith("0x") else -1
    except ValueError:
        address = -1
    return Q((column, address)) if 0 <= address <= MAX_ADDRESS else search.NO_ROWS
