"""The admin of escalations: policies, running ones with their history, and what cannot be reached."""

from collections.abc import Callable, Collection
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import router, transaction
from django.db.models import Q, QuerySet
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from notifications.admin import search
from notifications.admin.base import PermanentAdmin, StyledAdmin
from notifications.admin.columns import format_time
from notifications.admin.confirmation import list_selected
from notifications.admin.escalation_actions import HAND_OVER, MAX_RUNS, SEND_NEXT, SNOOZE, ask_or_act
from notifications.admin.relations import AutocompleteAdmin
from notifications.core import clock
from notifications.escalation import acknowledge_runs, resolve_runs
from notifications.escalation.step_faults import list_target_faults, list_template_faults
from notifications.escalation.unreachable import find_unreachable, find_unreachable_by_events
from notifications.events import NOTIFICATION_EVENTS, key_of
from notifications.models import EscalationEntry, EscalationPolicy, EscalationPolicyStep, EscalationRun

MAX_ENTRIES = 200
MAX_WARNINGS = 10


class EscalationPolicyForm(forms.ModelForm):
    """Offers the names of the events."""

    event = forms.ChoiceField(label=gettext_lazy("event"))

    class Meta:
        model = EscalationPolicy
        fields = ("event", "cluster", "enabled", "repeat_every", "acknowledged_for", "starts_by_priority")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = {key_of(event.name): event.words for event in NOTIFICATION_EVENTS.values()}
        if current := self.instance.event:
            names.setdefault(current, current)
        choices = sorted(names.items(), key=lambda pair: pair[1].lower())
        self.fields["event"].choices = [("", "---------"), *choices]  # type: ignore[attr-defined]


class StepFormSet(BaseInlineFormSet):
    """Checks that the steps fit together."""

    def clean(self) -> None:
        super().clean()
        if any(self.errors):
            return
        forms_in_use = [form for form in self.forms if form.cleaned_data and not form.cleaned_data.get("DELETE")]
        try:
            escalation = self.instance.build([form.instance for form in forms_in_use])
        except (ValueError, TypeError) as error:
            raise ValidationError(str(error)) from error
        event = NOTIFICATION_EVENTS.named(self.instance.event)
        if escalation is None or event is None:
            return
        found = ([*list_target_faults(step), *list_template_faults(event, step)] for step in escalation.steps)
        if faults := [fault for faults in found for fault in faults]:
            raise ValidationError(faults)


class StepInline(admin.TabularInline):
    model = EscalationPolicyStep
    formset = StepFormSet
    extra = 1
    fields = ("after", "targets", "channels", "repeat")


@admin.register(EscalationPolicy)
class EscalationPolicyAdmin(AutocompleteAdmin, StyledAdmin):
    """What staff set in place of the escalations in the code."""

    form = EscalationPolicyForm
    inlines = (StepInline,)
    list_display = ("event", "cluster", "enabled")
    list_select_related = ("cluster",)
    raw_id_fields = ("cluster",)
    change_list_template = "admin/klaxon/escalationpolicy/change_list.html"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.show_unreachable)
        return [path("unreachable/", view, name="klaxon_escalation_unreachable"), *super().get_urls()]

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Save the steps, and say at once whom they do not reach."""
        super().save_related(request, form, formsets, change)
        found = dict.fromkeys(find_unreachable_by_events(clock.now(), [form.instance.event]))
        for finding in [*found][:MAX_WARNINGS]:
            self.message_user(request, f"{finding.subject}: {finding.text}", messages.WARNING)

    def show_unreachable(self, request: HttpRequest) -> HttpResponse:
        """Show what escalations could not reach now, or within the next 30 days."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("What escalations cannot reach"),
            "findings": list(dict.fromkeys(find_unreachable(clock.now()))),
        }
        return TemplateResponse(request, "admin/klaxon/escalationpolicy/unreachable.html", context)


@admin.register(EscalationRun)
class EscalationRunAdmin(PermanentAdmin):
    """The escalations of notifications, with their history."""

    list_display = ("id", "event", "notification_id", "state", "due_at", "started_at", "acknowledged_by")
    list_filter = ("state",)
    related_fields = ("acknowledged_by",)
    indexed_lookups = ("id", "notification")
    search_help_text = gettext_lazy("Enter the number of an escalation or of a notification.")
    actions = ("acknowledge", "escalate_now", "snooze_runs", "hand_over_runs", "resolve_runs")
    fieldsets = (
        (None, {"fields": ("event", "shown_notification", "state", "due_at", "started_at", "ended_at")}),
        (gettext_lazy("Acknowledgement"), {"fields": ("acknowledged_at", "acknowledged_by", "acknowledged_for")}),
        (gettext_lazy("Steps"), {"fields": ("shown_pages",)}),
        (gettext_lazy("History"), {"fields": ("shown_history",)}),
    )

    def get_search_condition(self, term: str) -> Q:
        return search.match_number(term, "pk", "notification")

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Whether the user may acknowledge, resolve and escalate."""
        return bool(request.user.has_perm("klaxon.change_escalationrun"))

    @admin.display(description=gettext_lazy("notification"))
    def shown_notification(self, run: EscalationRun) -> SafeString:
        url = reverse(f"{self.admin_site.name}:klaxon_notification_change", args=[run.notification_id])
        return format_html('<a href="{}">{} #{}</a>', url, run.event, run.notification_id)

    @admin.display(description=gettext_lazy("steps"))
    def shown_pages(self, run: EscalationRun) -> SafeString:
        pages = [run.get_page(index) for index in range(len(run.pages))]
        rows = (
            (
                page.step,
                format_minutes(page.after),
                ", ".join(page.targets),
                ", ".join(page.channels),
                "→" if index == run.position else "",
            )
            for index, page in enumerate(pages)
            if page is not None
        )
        return format_html("<ol>{}</ol>", format_html_join("", "<li>{}. {}: {} {} {}</li>", rows))

    @admin.display(description=gettext_lazy("history"))
    def shown_history(self, run: EscalationRun) -> SafeString:
        entries = EscalationEntry.objects.filter(run=run.pk).select_related("by").order_by("pk")[:MAX_ENTRIES]
        rows = (
            (
                format_time(entry.at),
                entry.get_kind_display(),
                ", ".join(entry.targets),
                entry.by or entry.by_key,
                entry.note,
            )
            for entry in entries
        )
        return format_html("<ol>{}</ol>", format_html_join("", "<li>{} {} {} {} {}</li>", rows))

    @admin.action(permissions=["act"], description=gettext_lazy("Acknowledge"))
    def acknowledge(self, request: HttpRequest, queryset: QuerySet[EscalationRun]) -> None:
        self._act(request, queryset, acknowledge_runs, "acknowledged")

    @admin.action(permissions=["act"], description=gettext_lazy("Send the next step now"))
    def escalate_now(self, request: HttpRequest, queryset: QuerySet[EscalationRun]) -> HttpResponse | None:
        return ask_or_act(SEND_NEXT, self, request, queryset)

    @admin.action(permissions=["act"], description=gettext_lazy("Snooze"))
    def snooze_runs(self, request: HttpRequest, queryset: QuerySet[EscalationRun]) -> HttpResponse | None:
        return ask_or_act(SNOOZE, self, request, queryset)

    @admin.action(permissions=["act"], description=gettext_lazy("Hand over"))
    def hand_over_runs(self, request: HttpRequest, queryset: QuerySet[EscalationRun]) -> HttpResponse | None:
        return ask_or_act(HAND_OVER, self, request, queryset)

    @admin.action(permissions=["act"], description=gettext_lazy("Resolve"))
    def resolve_runs(self, request: HttpRequest, queryset: QuerySet[EscalationRun]) -> None:
        self._act(request, queryset, resolve_runs, "resolved")

    def _act(
        self,
        request: HttpRequest,
        queryset: QuerySet[EscalationRun],
        act: Callable[[Collection[EscalationRun], Any], list[EscalationRun]],
        word: str,
    ) -> None:
        """Act on the selected escalations, and say how many have changed."""
        keys = list_selected(queryset, MAX_RUNS + 1)
        if len(keys) > MAX_RUNS:
            text = _("Select at most %d escalations. Nothing was changed.") % MAX_RUNS
            self.message_user(request, text, messages.ERROR)
            return
        with transaction.atomic(using=router.db_for_write(EscalationRun)):
            changed = act(list(self.get_queryset(request).filter(pk__in=keys)), request.user)
            LogEntry.objects.log_actions(request.user.pk, changed, CHANGE, word)  # type: ignore[arg-type]
        text = ngettext("{count} escalation was changed.", "{count} escalations were changed.", len(changed))
        self.message_user(request, text.format(count=len(changed)))


def format_minutes(seconds: float) -> str:
    """Return a time since the notification in hours and minutes."""
    minutes = round(seconds / 60)
    return f"{minutes // 60}:{minutes % 60:02}"
