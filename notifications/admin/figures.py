"""The page with the figures of events, campaigns and variants, with a chart. It is read-only."""

from datetime import timedelta
from typing import Any

import django
from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from notifications.admin.base import PermanentAdmin
from notifications.core.variants import MAX_VARIANT_LENGTH
from notifications.models import TrackingFigure, get_cluster_model
from notifications.tracking.summary import (
    MAX_SUBJECTS,
    Metric,
    Period,
    build_chart,
    list_days,
    list_subjects,
    select,
    summarize,
)

DEFAULT_DAYS, MAX_DAYS = 30, 366


class FigureForm(forms.Form):
    """The period and what to show of it."""

    first = forms.DateField(label=_("From"), required=False, widget=forms.DateInput(attrs={"type": "date"}))
    last = forms.DateField(label=_("To"), required=False, widget=forms.DateInput(attrs={"type": "date"}))
    event = forms.CharField(label=_("Event"), required=False, max_length=100)
    campaign = forms.CharField(label=_("Campaign"), required=False, max_length=200)
    variant = forms.CharField(label=_("Variant"), required=False, max_length=MAX_VARIANT_LENGTH)
    cluster = forms.CharField(
        label=_("Cluster"), required=False, max_length=50, help_text=_("The key of a cluster; empty for all.")
    )

    def clean_cluster(self) -> Any:
        text = self.cleaned_data["cluster"]
        try:
            return get_cluster_model()._meta.pk.to_python(text) if text else None
        except ValidationError as error:
            raise ValidationError(_("Enter the key of a cluster."), code="invalid") from error

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        # Figures are kept by the day of the site, not by that of the reader.
        today = timezone.localdate(timezone=timezone.get_default_timezone())
        cleaned["last"] = cleaned.get("last") or today
        cleaned["first"] = cleaned.get("first") or cleaned["last"] - timedelta(days=DEFAULT_DAYS - 1)
        if not 0 <= (cleaned["last"] - cleaned["first"]).days < MAX_DAYS:
            self.add_error("first", ValidationError(_("Choose at most a year, in order."), code="period"))
        return cleaned

    @property
    def period(self) -> Period:
        return Period(self.cleaned_data["first"], self.cleaned_data["last"])


@admin.register(TrackingFigure)
class TrackingFigureAdmin(PermanentAdmin):
    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> TemplateResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        form = FigureForm(request.GET)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "media": self.media,
            "title": _("Figures"),
            "form": form,
            "metrics": Metric.labels,
            "breadcrumbs_are_a_list": django.VERSION >= (6, 1),
        }
        if form.is_valid():
            context |= build_figures(form)
        return TemplateResponse(request, "admin/klaxon/trackingfigure/figures.html", context)


def build_figures(form: FigureForm) -> dict[str, Any]:
    """Return the tables and the chart: of all events, or of the chosen event, campaign or variant."""
    chosen, period = form.cleaned_data, form.period
    filters = {name: chosen[name] for name in ("event", "campaign", "variant", "cluster")}
    rows = select(period, **filters)
    if not (chosen["event"] or chosen["campaign"] or chosen["variant"]):
        subjects = list_subjects(rows)
        return {"period": period, "subjects": subjects, "most": MAX_SUBJECTS if len(subjects) == MAX_SUBJECTS else None}
    days, parts = list_days(rows, period), list_subjects(rows)
    return {
        "period": period,
        # An event has notifications of several campaigns, and a campaign those of several events.
        "subjects": parts if len(parts) > 1 else (),
        "variants": summarize(rows, "variant"),
        "days": [totals for totals in days if any(totals.counts.values())],
        # One day is a point and no line.
        "chart": build_chart(days) if len(days) > 1 else None,
    }
