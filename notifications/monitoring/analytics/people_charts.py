"""Charts of what people get and do: digests, escalations and campaigns."""

from collections.abc import Mapping, Sequence
from itertools import chain
from math import ceil

from django.utils.formats import date_format, number_format
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from notifications.models import TrackingFigure
from notifications.monitoring.analytics.chart import (
    Chart,
    Table,
    format_count,
    format_duration,
    format_percentage,
    get_percentage,
)
from notifications.monitoring.analytics.load import Data
from notifications.monitoring.charts import Bar, Series, draw_bars, draw_columns

Metric = TrackingFigure.Metric
MAX_BARS, MAX_ROWS = 10, 200
CAMPAIGN_LOOKS = (1, 5)
QUANTILES = (0.5, 0.9)


def chart_digests(data: Data) -> Chart:
    """The digests and batches that were made, and their items."""
    window = data.window
    made, items = [0] * len(window.steps), [0] * len(window.steps)
    for hour in data.hours:
        step = window.find_step(hour.hour)
        if step is not None:
            made[step] += hour.digests
            items[step] += hour.items
    title = _("Digests and batches")
    summary = _("None was made.")
    if total := sum(made):
        summary = _("{made} were made, with {mean} items on average.").format(
            made=format_count(total), mean=number_format(sum(items) / total, 1)
        )
    series = [Series(_("made"), made)]
    drawing = draw_columns("digests", title, summary, series, window.ticks) if total else ""
    rows = [
        (step, number, count, round(count / number, 2))
        for step, number, count in zip(window.steps, made, items, strict=True)
        if number
    ]
    headings = [_("Hour") if window.is_hourly else _("Day"), _("Made"), _("Items"), _("Items on average")]
    return Chart("digests", title, summary, Table(headings, rows), drawing)


def chart_escalations(data: Data) -> Chart:
    """The escalations that began, and the time until somebody acknowledged them."""
    window = data.window
    times, others = _group_runs(data)
    acknowledged = [len(one) for one in times]
    title, summary = _("Escalations"), _describe_runs(len(data.runs), sorted(chain.from_iterable(times)))
    series = [Series(_("acknowledged"), acknowledged), Series(_("not acknowledged"), others)]
    drawing = draw_columns("escalations", title, summary, series, window.ticks) if data.runs else ""
    rows = [
        (step, len(found) + other, len(found), *_get_spread(sorted(found)))
        for step, found, other in zip(window.steps, times, others, strict=True)
        if found or other
    ]
    headings = [
        _("Hour") if window.is_hourly else _("Day"),
        _("Began"),
        _("Acknowledged"),
        _("Median until then (s)"),
        _("90th percentile until then (s)"),
    ]
    note = ""
    if data.runs_since is not None:
        since = date_format(data.runs_since.astimezone(window.zone), "SHORT_DATETIME_FORMAT")
        note = _("There are too many to count all of them. Those that began before {since} are missing.").format(
            since=since
        )
    legend = [one.label for one in series]
    return Chart("escalations", title, summary, Table(headings, rows), drawing, legend, note=note)


def _group_runs(data: Data) -> tuple[list[list[float]], list[int]]:
    """Return for each step the seconds until the acknowledgements, and the number of the other escalations."""
    steps = len(data.window.steps)
    times: list[list[float]] = [[] for _step in range(steps)]
    others = [0] * steps
    for run in data.runs:
        step = data.window.find_step(run.started_at)
        if step is None:
            continue
        if run.acknowledged_at is None:
            others[step] += 1
        else:
            times[step].append((run.acknowledged_at - run.started_at).total_seconds())
    return times, others


def _describe_runs(total: int, times: Sequence[float]) -> str:
    if not total:
        return _("None began.")
    text = _("{total} began, and {acknowledged} of them were acknowledged.").format(
        total=format_count(total), acknowledged=format_count(len(times))
    )
    if not times:
        return text
    median, high = (format_duration(get_quantile(times, share)) for share in QUANTILES)
    spread = _("Half of these were acknowledged within {median}, and 90 % within {high}.")
    return f"{text} {spread.format(median=median, high=high)}"


def _get_spread(times: Sequence[float]) -> list[float | None]:
    return [round(get_quantile(times, share), 1) if times else None for share in QUANTILES]


def chart_campaigns(data: Data) -> Chart:
    """The campaigns with the most deliveries, and what recipients did."""
    ranked = sorted(data.campaigns.items(), key=lambda item: (-item[1].get(Metric.SENT, 0), item[0]))
    title = _("Campaigns")
    summary = _("Nothing was sent for a campaign.")
    if ranked:
        summary = _("The shares of the sent deliveries that people clicked, that they only opened, and the others.")
    bars = []
    for name, counts in ranked[:MAX_BARS]:
        sent, opened, clicked = (counts.get(metric, 0) for metric in (Metric.SENT, Metric.OPENED, Metric.CLICKED))
        if sent:
            text = _("{sent} sent, {opened} opened").format(
                sent=format_count(sent), opened=format_percentage(get_percentage(opened, sent), 0)
            )
            # A click proves that the message was opened, even if images are blocked.
            parts = [100 * clicked / sent, 100 * max(opened - clicked, 0) / sent]
            bars.append(Bar(name, text, parts))
    rows = [
        (name, *(counts.get(metric, 0) for metric in Metric), *_get_rates(counts)) for name, counts in ranked[:MAX_ROWS]
    ]
    rates = [_("Opened (%)"), _("Clicked (%)")]
    headings = [_("Campaign"), *(capfirst(str(metric.label)) for metric in Metric), *rates]
    drawing = draw_bars("campaigns", title, summary, bars, 100, looks=CAMPAIGN_LOOKS) if bars else ""
    legend = [_("clicked"), _("only opened")]
    return Chart(
        "campaigns", title, summary, Table(headings, rows), drawing, legend, looks=CAMPAIGN_LOOKS, is_wide=True
    )


def get_quantile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed (nearest rank)."""
    return ordered[max(ceil(share * len(ordered)) - 1, 0)]


def _get_rates(counts: Mapping[str, int]) -> list[float | None]:
    sent = counts.get(Metric.SENT, 0)
    return [get_percentage(counts.get(metric, 0), sent) for metric in (Metric.OPENED, Metric.CLICKED)]
