"""Charts of what was sent: how much, when, how well, how fast, and why not."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from django.utils.dates import WEEKDAYS, WEEKDAYS_ABBR
from django.utils.formats import get_format, number_format
from django.utils.translation import gettext as _

from notifications.monitoring.analytics.chart import (
    Chart,
    Table,
    format_count,
    format_duration,
    format_percentage,
    get_percentage,
)
from notifications.monitoring.analytics.load import Data, Kind
from notifications.monitoring.charts import (
    Bar,
    Series,
    Tick,
    draw_bars,
    draw_columns,
    draw_punches,
)
from notifications.outcomes import Reason
from notifications.storage.figures import LATENCY_LIMITS, SENT, SUM_COLUMNS, WITHIN

MAX_BARS = 15
SHARE = 0.95
# Fast is shown in one colour, and slow in another.
LATENCY_LOOKS = (1, 5, 3, 2)


def chart_attempts(data: Data) -> Chart:
    """The messages that were accepted and those that failed, by hour or day."""
    window = data.window
    sent, failed = [0] * len(window.steps), [0] * len(window.steps)
    for hour in data.hours:
        step = window.find_step(hour.hour)
        if step is not None:
            sent[step] += hour.sent
            failed[step] += hour.failed
    title = _("Attempts")
    summary = _("{sent} messages were accepted by providers, and {failed} attempts failed.").format(
        sent=format_count(sum(sent)), failed=format_count(sum(failed))
    )
    series = [Series(_("accepted"), sent), Series(_("failed"), failed)]
    drawing = draw_columns("attempts", title, summary, series, window.ticks)
    headings = [_("Hour") if window.is_hourly else _("Day"), _("Accepted"), _("Failed")]
    table = Table(headings, [row for row in zip(window.steps, sent, failed, strict=True) if row[1] or row[2]])
    legend = [one.label for one in series]
    return Chart("attempts", title, summary, table, drawing if any(sent + failed) else "", legend, is_wide=True)


def chart_success(data: Data) -> Chart:
    """The share of attempts that succeeded, by channel and provider."""
    totals: dict[str, Counter[str]] = {}
    for row in _select(data, Kind.ATTEMPT):
        totals.setdefault(_name(row), Counter())["sent" if row["outcome"] == SENT else "failed"] += row["count"]
    rows = []
    for name, counts in sorted(totals.items(), key=lambda item: (-item[1].total(), item[0])):
        rows.append((name, counts["sent"], counts["failed"], get_percentage(counts["sent"], counts.total())))
    title = _("Success by channel and provider")
    share = get_percentage(sum(row[1] for row in rows), sum(row[1] + row[2] for row in rows))
    summary = _("{share} of all attempts succeeded. An attempt that failed may be repeated.").format(
        share=format_percentage(share, 2)
    )
    bars = [
        Bar(
            name,
            _("{share} of {total}").format(share=format_percentage(success), total=format_count(sent + failed)),
            (100 * sent / (sent + failed), 100 * failed / (sent + failed)),
        )
        for name, sent, failed, success in rows[:MAX_BARS]
    ]
    headings = [_("Channel and provider"), _("Accepted"), _("Failed"), _("Success (%)")]
    drawing = draw_bars("success", title, summary, bars, 100) if bars else ""
    return Chart("success", title, summary, Table(headings, rows), drawing, [_("accepted"), _("failed")])


def chart_latency(data: Data) -> Chart:
    """The time from due to accepted, by channel and provider."""
    totals: dict[str, Counter[str]] = {}
    for row in _select(data, Kind.ATTEMPT):
        if row["outcome"] == SENT:
            sums = totals.setdefault(_name(row), Counter())
            for column in SUM_COLUMNS:
                sums[column] += row[column]
    named = sorted(totals.items(), key=lambda item: (-item[1]["count"], item[0]))
    title = _("Latency by channel and provider")
    summary = _("The time from the moment at which a message is due until the provider has accepted it.")
    bars = [Bar(name, _describe_latency(sums), _split_latency(sums)) for name, sums in named[:MAX_BARS]]
    within = [_("Within {time} (%)").format(time=format_duration(seconds)) for seconds in LATENCY_LIMITS]
    headings = [_("Channel and provider"), _("Accepted"), _("Mean latency (s)"), _("Mean answer (s)"), *within]
    rows = [
        (
            name,
            int(sums["count"]),
            round(sums["latency_seconds"] / sums["count"], 3),
            round(sums["call_seconds"] / sums["count"], 3),
            *(get_percentage(sums[column], sums["count"]) for column in WITHIN),
        )
        for name, sums in named
    ]
    legend = [_("up to 1 s"), _("up to 5 s"), _("up to 30 s"), _("longer")]
    drawing = draw_bars("latency", title, summary, bars, 100, looks=LATENCY_LOOKS) if bars else ""
    return Chart("latency", title, summary, Table(headings, rows), drawing, legend, looks=LATENCY_LOOKS)


def chart_hours(data: Data) -> Chart:
    """The attempts by hour of the day and day of the week, in the time zone of the reader."""
    counts: Counter[tuple[int, int]] = Counter()
    for hour in data.hours:
        local = hour.hour.astimezone(data.window.zone)
        counts[local.weekday(), local.hour] += hour.sent + hour.failed
    # Django counts from Sunday, and Python from Monday.
    first = (int(get_format("FIRST_DAY_OF_WEEK")) - 1) % 7
    days = [(first + number) % 7 for number in range(7)]
    title = _("Peak hours")
    summary = _("Nothing was sent.")
    if any(counts.values()):
        (day, hour_of_day), most = max(counts.items(), key=lambda item: item[1])
        summary = _("The peak is {day} from {hour}:00, with {most} attempts. A larger dot means more.").format(
            day=WEEKDAYS[day], hour=number_format(hour_of_day), most=format_count(most)
        )
    rows = [Series(str(WEEKDAYS_ABBR[day]), [counts[day, hour] for hour in range(24)]) for day in days]
    ticks = [Tick(hour, number_format(hour)) for hour in range(0, 24, 3)]
    drawing = draw_punches("hours", title, summary, rows, ticks) if any(counts.values()) else ""
    table = Table(
        [_("Day"), *(number_format(hour) for hour in range(24))],
        [(str(WEEKDAYS[day]), *(counts[day, hour] for hour in range(24))) for day in days] if drawing else [],
    )
    return Chart("hours", title, summary, table, drawing)


def chart_failures(data: Data) -> Chart:
    """The failed attempts by reason."""
    title = _("Failed attempts by reason")
    rows = [row for row in _select(data, Kind.ATTEMPT) if row["outcome"] != SENT]
    total = format_count(sum(row["count"] for row in rows))
    return _chart_reasons("failures", title, _("{total} attempts failed.").format(total=total), rows)


def chart_drops(data: Data) -> Chart:
    """The dropped deliveries by reason."""
    title = _("Dropped deliveries by reason")
    rows = list(_select(data, Kind.DROP))
    total = format_count(sum(row["count"] for row in rows))
    summary = _("{total} deliveries were not sent, because a rule or a preference refused them.").format(total=total)
    return _chart_reasons("drops", title, summary, rows)


def _chart_reasons(key: str, title: str, summary: str, rows: Iterable[Mapping[str, Any]]) -> Chart:
    labels: dict[str, str] = {value: str(label) for value, label in Reason.choices}
    counts: Counter[str] = Counter()
    for row in rows:
        counts[labels.get(row["outcome"], row["outcome"])] += row["count"]
    total = counts.total()
    found = [(label, count, get_percentage(count, total)) for label, count in counts.most_common()]
    bars = [Bar(label, format_count(count), (count,)) for label, count, _share in found[:MAX_BARS]]
    drawing = draw_bars(key, title, summary, bars) if bars else ""
    return Chart(key, title, summary, Table([_("Reason"), _("Number"), _("Share (%)")], found), drawing)


def _select(data: Data, kind: str) -> Iterable[Mapping[str, Any]]:
    return (row for row in data.sums if row["kind"] == kind and row["count"])


def _name(row: Mapping[str, Any]) -> str:
    return f"{row['channel']} · {row['provider']}" if row["provider"] else str(row["channel"])


def _describe_latency(sums: Mapping[str, float]) -> str:
    for seconds, column in zip(LATENCY_LIMITS, WITHIN, strict=True):
        if sums[column] >= SHARE * sums["count"]:
            return _("95 % within {time}").format(time=format_duration(seconds))
    return _("over 5 % later than {time}").format(time=format_duration(LATENCY_LIMITS[-1]))


def _split_latency(sums: Mapping[str, float]) -> list[float]:
    steps = [0, sums["within_1"], sums["within_5"], sums["within_30"], sums["count"]]
    return [100 * (end - start) / sums["count"] for start, end in zip(steps, steps[1:], strict=False)]
