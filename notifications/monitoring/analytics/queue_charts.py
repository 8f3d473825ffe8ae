"""Charts of the queue: its depth, and the availability of each band."""

from datetime import datetime, timedelta

from django.utils.translation import gettext as _

from notifications import conf
from notifications.models.figure import BAND_NAMES
from notifications.monitoring.analytics.chart import (
    Chart,
    Table,
    format_count,
    format_duration,
    format_percentage,
    get_band_labels,
    get_percentage,
)
from notifications.monitoring.analytics.load import DEPTH_SPAN, Data
from notifications.monitoring.analytics.window import choose_hours
from notifications.monitoring.charts import Bar, Mark, Series, draw_bars, draw_lines

STEP = timedelta(minutes=15)
STEPS = DEPTH_SPAN // STEP
TARGETS = (99.95, 99.9)
"""The targets of the availability in percent."""
BAD_SCALE = 0.2
"""The share of bad minutes, in percent, that fills the width of the chart."""


def chart_depth(data: Data, now: datetime) -> Chart:
    """The number of ready deliveries by band in the last 24 hours: the highest in each quarter of an hour."""
    # The last quarter of an hour is the current one.
    first = now.replace(minute=now.minute // 15 * 15, second=0, microsecond=0) + STEP - DEPTH_SPAN
    columns: dict[str, list[int | None]] = {band: [None] * STEPS for band in BAND_NAMES}
    dead: list[int | None] = [None] * STEPS
    for sample in data.samples:
        step = (sample.minute - first) // STEP
        if not 0 <= step < STEPS:
            continue
        for band, values in columns.items():
            values[step] = max(values[step] or 0, getattr(sample, f"ready_{band}"))
        dead[step] = sample.dead
    times = [(first + number * STEP).astimezone(data.window.zone) for number in range(STEPS)]
    labels = get_band_labels()
    most = max((value for values in columns.values() for value in values if value is not None), default=0)
    title = _("Depth of the queue in the last 24 hours")
    summary = _("The deliveries that are ready to be sent, by band; at most {most}.").format(most=format_count(most))
    series = [Series(labels[band], values) for band, values in columns.items()]
    drawing = draw_lines("depth", title, summary, series, choose_hours(times, STEP)) if data.samples else ""
    rows = [row for row in zip(times, *columns.values(), dead, strict=True) if row[-1] is not None]
    table = Table([_("From"), *(one.label.capitalize() for one in series), _("Dead")], rows)
    note = _("The highest number in each quarter of an hour. Where a line has a gap, nothing was measured.")
    if data.has_cluster:
        note = f"{note} {_('Of all clusters.')}"
    return Chart("depth", title, summary, table, drawing, list(labels.values()), True, note, is_wide=True)


def chart_availability(data: Data) -> Chart:
    """The share of minutes in which the oldest due delivery was later than the latency of its band."""
    title = _("Availability")
    rows, bars, limits = [], [], conf.current().get_latency_limits()
    for band, label in get_band_labels().items():
        minutes, good = data.minutes.get(band, (0, 0))
        if not minutes:
            continue
        name = _("{band}, within {time}").format(band=label, time=format_duration(limits[band]))
        share = get_percentage(good, minutes, 3)
        rows.append((name, minutes, minutes - good, share))
        bars.append(Bar(name, format_percentage(share, 3), (100 * (minutes - good) / minutes,)))
    summary = _(
        "A minute is good if the oldest due delivery was not later than the latency of its band. "
        "The bars are the minutes that were not good; the lines are targets."
    )
    marks = [Mark(100 - target, format_percentage(target, 2)) for target in TARGETS]
    drawing = draw_bars("availability", title, summary, bars, BAD_SCALE, marks) if bars else ""
    headings = [_("Band"), _("Minutes"), _("Minutes that were not good"), _("Availability (%)")]
    note = _("Longer bars than {share} are cut.").format(share=format_percentage(BAD_SCALE))
    if data.has_cluster:
        note = f"{note} {_('Of all clusters.')}"
    return Chart("availability", title, summary, Table(headings, rows), drawing, note=note)
