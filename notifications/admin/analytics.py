"""The page with the charts of analytics, and each chart as CSV. It is read-only."""

import csv
from collections.abc import Iterable
from typing import Any

import django
from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import router
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _

from notifications.admin.base import PermanentAdmin
from notifications.admin.filters import CLUSTERS_SHOWN
from notifications.core import clock
from notifications.inbox.export import BYTE_ORDER_MARK, neutralize_formula
from notifications.models import Figure, get_cluster_model
from notifications.monitoring.analytics.chart import Chart, Table
from notifications.monitoring.analytics.report import CHART_KEYS, build_report
from notifications.monitoring.analytics.window import CHOICES
from notifications.monitoring.charts import draw_patterns

DEFAULT_WINDOW = "24h"


class AnalyticsForm(forms.Form):
    """The window and the cluster. With few clusters, they are choices; otherwise, the key is typed."""

    window = forms.ChoiceField(label=_("Time"), choices=CHOICES, required=False)
    cluster = forms.CharField(label=_("Cluster"), required=False, max_length=50)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial = {"window": DEFAULT_WINDOW}
        clusters = list(get_cluster_model()._default_manager.order_by("pk")[: CLUSTERS_SHOWN + 1])
        if len(clusters) > CLUSTERS_SHOWN:
            self.fields["cluster"].help_text = _("The key of a cluster; empty for all.")
        else:
            choices = [("", _("All")), *((cluster.pk, str(cluster)) for cluster in clusters)]
            self.fields["cluster"].widget = forms.Select(choices=choices)

    def clean_window(self) -> str:
        return self.cleaned_data["window"] or DEFAULT_WINDOW

    def clean_cluster(self) -> Any:
        text = self.cleaned_data["cluster"]
        try:
            if not text:
                return None
            field = get_cluster_model()._meta.pk
            key = field.to_python(text)
            # Such as that the column can hold the number.
            field.run_validators(key)
        except ValidationError as error:
            raise ValidationError(_("Enter the key of a cluster."), code="invalid") from error
        return key


@admin.register(Figure)
class AnalyticsAdmin(PermanentAdmin):
    """The charts in place of a list of figures."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("analytics/", view(self.show_report), name="klaxon_analytics"),
            path("analytics/<slug:key>.csv", view(self.download), name="klaxon_analytics_csv"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        return HttpResponseRedirect(reverse(f"{self.admin_site.name}:klaxon_analytics"))

    def show_report(self, request: HttpRequest) -> HttpResponse:
        """Show all charts."""
        form = self._read_form(request)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "media": self.media,
            "title": _("Analytics"),
            "form": form,
            "charts": self._build_charts(form) if form.is_valid() else [],
            "patterns": draw_patterns(),
            "query": urlencode({name: value for name, value in form.data.items() if name in form.fields and value}),
            "breadcrumbs_are_a_list": django.VERSION >= (6, 1),
        }
        return TemplateResponse(request, "admin/klaxon/analytics/report.html", context)

    def download(self, request: HttpRequest, key: str) -> HttpResponse:
        """Return the table of a chart as a CSV file."""
        form = self._read_form(request)
        if key not in CHART_KEYS or not form.is_valid():
            raise Http404
        [chart] = (chart for chart in self._build_charts(form) if chart.key == key)
        response = HttpResponse(content_type="text/csv; charset=utf-8")
        name = f"{key}-{form.cleaned_data['window']}.csv"
        response["Content-Disposition"] = f'attachment; filename="{name}"'
        write_csv(response, chart.table)
        return response

    def _read_form(self, request: HttpRequest) -> AnalyticsForm:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return AnalyticsForm(request.GET or {"window": DEFAULT_WINDOW})

    def _build_charts(self, form: AnalyticsForm) -> list[Chart]:
        now = clock.cached_now(router.db_for_read(Figure))
        chosen = form.cleaned_data
        return build_report(chosen["window"], now, timezone.get_current_timezone(), chosen["cluster"])


def write_csv(file: Any, table: Table) -> None:
    """Write a table that spreadsheets can read, without formulas."""
    file.write(BYTE_ORDER_MARK)
    writer = csv.writer(file)
    for row in (table.headings, *table.rows):
        writer.writerow(_format_cells(row))


def _format_cells(row: Iterable[Any]) -> list[Any]:
    cells = ("" if cell is None else cell.isoformat() if hasattr(cell, "isoformat") else cell for cell in row)
    return [neutralize_formula(str(cell)) for cell in cells]
