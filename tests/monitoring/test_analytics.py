"""The numbers of analytics."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from notifications.models import Availability, Cluster, Figure, FigureDelta, QueueSample, TrackingFigure
from notifications.monitoring.analytics import load
from notifications.monitoring.analytics.chart import format_cell, format_duration, format_percentage, get_percentage
from notifications.monitoring.analytics.people_charts import get_quantile
from notifications.monitoring.analytics.report import build_report
from notifications.monitoring.analytics.window import make_window
from tests.monitoring.analytics_data import acknowledge, add_run

NOW = datetime(2030, 5, 8, 15, 20, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
HOUR = timedelta(hours=1)


def build(key="24h", now=NOW, zone=UTC, cluster=None):
    return {chart.key: chart for chart in build_report(key, now, zone, cluster)}


def rows(name, **more):
    return [tuple(row) for row in build(**more)[name].table.rows]


def add(at=NOW, count=1, outcome="sent", kind="attempt", channel="email", provider="", **more):
    hour = at.replace(minute=0)
    key = {"hour": hour, "channel": channel, "provider": provider, "band": "medium", "kind": kind, "outcome": outcome}
    return Figure.objects.create(count=count, **key, **more)


class TestWindow:
    def test_a_day_has_the_current_hour_and_the_23_before(self):
        window = make_window("24h", NOW, UTC)
        assert (window.since, window.until) == (
            datetime(2030, 5, 7, 16, tzinfo=UTC),
            datetime(2030, 5, 8, 16, tzinfo=UTC),
        )
        assert window.find_step(NOW) == 23
        assert window.find_step(window.since) == 0
        assert window.find_step(window.until) is window.find_step(window.since - HOUR) is None

    def test_a_week_is_today_and_the_six_days_before_in_the_zone_of_the_reader(self):
        window = make_window("7d", datetime(2030, 5, 8, 22, 30, tzinfo=UTC), BERLIN)
        assert window.steps[0] == date(2030, 5, 3)
        assert window.steps[-1] == date(2030, 5, 9)
        assert window.since == datetime(2030, 5, 2, 22, tzinfo=UTC)

    @pytest.mark.parametrize("now", [datetime(2030, 4, 2, 10, tzinfo=UTC), datetime(2030, 10, 29, 10, tzinfo=UTC)])
    def test_each_hour_belongs_to_one_day_when_the_clocks_change(self, now):
        window = make_window("7d", now, BERLIN)
        hours = [window.since + number * HOUR for number in range((window.until - window.since) // HOUR)]
        found = [window.find_step(hour) for hour in hours]
        assert found == [(hour.astimezone(BERLIN).date() - window.steps[0]).days for hour in hours]
        assert sorted({found.count(step) for step in range(6)}) in ([23, 24], [24, 25])

    def test_hours_are_named_every_six_hours(self):
        ticks = make_window("24h", NOW, ZoneInfo("Asia/Kolkata")).ticks
        assert [(tick.index, tick.label) for tick in ticks] == [(3, "12:30 a.m."), (15, "12:30 p.m.")]
        ticks = make_window("24h", NOW, UTC).ticks
        assert [tick.index for tick in ticks] == [2, 8, 14, 20]


class TestNumbers:
    def test_a_share_is_rounded_down(self):
        assert get_percentage(99_999, 100_000) == 99.99
        assert get_percentage(3, 3) == 100
        assert get_percentage(0, 0) is None

    @pytest.mark.parametrize(("share", "value"), [(0.5, 5), (0.9, 9), (0.01, 1), (1, 10)])
    def test_a_quantile_is_the_nearest_rank(self, share, value):
        assert get_quantile(list(range(1, 11)), share) == value

    def test_a_quantile_of_one_value_is_that_value(self):
        assert get_quantile([7], 0.5) == get_quantile([7], 0.9) == 7

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [(0.44, "0.4 s"), (5, "5 s"), (30, "30 s"), (300, "5 min"), (18_000, "5 h"), (864_000, "10 d")],
    )
    def test_a_duration_has_the_unit_that_fits(self, seconds, text):
        assert format_duration(seconds) == text

    @pytest.mark.parametrize(("share", "text"), [(99.999, "99.999 %"), (100.0, "100 %"), (0.0, "0.000 %"), (None, "–")])
    def test_everything_has_no_decimals(self, share, text):
        assert format_percentage(share, 3) == text

    def test_no_value_is_a_dash(self):
        assert format_cell(None) == "–"


@pytest.mark.django_db
class TestCharts:
    def test_attempts_are_counted_by_hour(self):
        add(count=7)
        add(NOW - 23 * HOUR, 5, "temporary")
        add(NOW - 24 * HOUR, 3)
        add(count=2, kind="drop", outcome="muted")
        assert rows("attempts") == [(NOW.replace(minute=0) - 23 * HOUR, 0, 5), (NOW.replace(minute=0), 7, 0)]

    def test_success_is_that_of_each_channel_and_provider(self):
        add(count=90, provider="mailgun")
        add(NOW - HOUR, 9, provider="mailgun")
        add(count=1, outcome="permanent", provider="mailgun")
        add(count=1, outcome="temporary", channel="sms")
        assert rows("success") == [("email · mailgun", 99, 1, 99.0), ("sms", 0, 1, 0.0)]

    def test_latency_is_calculated_from_sums(self):
        add(count=8, latency_seconds=16.0, call_seconds=4.0, within_1=2, within_5=7, within_30=8, within_60=8,
            within_300=8, within_3600=8)  # fmt: skip
        add(count=2, outcome="temporary")
        chart = build()["latency"]
        assert chart.table.rows == [("email", 8, 2.0, 0.5, 25.0, 87.5, 100.0, 100.0, 100.0, 100.0)]
        assert "95 % within 30 s" in chart.drawing

    def test_peak_hours_are_those_of_the_reader(self):
        add(datetime(2030, 5, 7, 22, tzinfo=UTC), 9)
        chart = build("7d", zone=BERLIN)["hours"]
        assert "Wednesday from 0:00, with 9 attempts" in chart.summary
        assert [row[0] for row in chart.table.rows][:2] == ["Sunday", "Monday"]
        assert [row[1] for row in chart.table.rows if row[0] == "Wednesday"] == [9]

    def test_failures_and_drops_are_counted_by_reason(self):
        add(count=3, outcome="temporary")
        add(count=1, outcome="temporary", channel="sms")
        add(count=12, outcome="permanent")
        add(count=5, outcome="muted", kind="drop")
        add(count=100)
        found = build()
        assert [row[1:] for row in found["failures"].table.rows] == [(12, 75.0), (4, 25.0)]
        assert found["drops"].table.rows == [("Muted by the user", 5, 100.0)]

    def test_one_cluster_is_that_cluster(self):
        one, other = (Cluster.objects.create(name=name, slug=name) for name in ("one", "other"))
        add(count=3, cluster=one)
        add(count=4, cluster=other)
        add(count=5)
        assert [build(cluster=key)["success"].table.rows[0][1] for key in (one.pk, other.pk, None)] == [3, 4, 12]

    def test_totals_since_the_beginning_are_not_counted(self):
        Figure.objects.create(hour=datetime(1970, 1, 1, tzinfo=UTC), channel="email", band="low", kind="attempt",
                              outcome="sent", count=99)  # fmt: skip
        assert rows("success", key="90d") == []

    def test_the_depth_is_the_highest_of_a_quarter_of_an_hour(self):
        for minutes, depth in ((1, 4), (3, 9), (5, 2), (40, 6), (24 * 60, 99)):
            at = NOW - timedelta(minutes=minutes)
            QueueSample.objects.create(minute=at, measured_at=at, ready_high=depth, dead=minutes)
        found = [(row[0], row[2], row[5]) for row in rows("depth")]
        assert found == [(NOW.replace(minute=30) - HOUR, 6, 40), (NOW.replace(minute=15), 9, 1)]

    def test_availability_is_the_share_of_good_minutes(self):
        for number, good in ((0, 60), (1, 59), (30, 0)):
            hour = NOW.replace(minute=0) - number * HOUR
            Availability.objects.create(hour=hour, band="low", minutes=60, good_minutes=good)
        assert rows("availability") == [("low, within 5 min", 120, 1, 99.166)]

    def test_escalations_have_the_time_to_the_first_acknowledgement(self):
        cluster = Cluster.objects.default()
        for seconds in (60, 120, 600, None):
            run = add_run(cluster, NOW - HOUR, seconds)
            if seconds:
                acknowledge(run, NOW)
        add_run(cluster, NOW - 25 * HOUR, 5)
        chart = build()["escalations"]
        assert chart.table.rows == [(NOW.replace(minute=0) - HOUR, 4, 3, 120.0, 600.0)]
        assert "within 2 min, and 90 % within 10 min" in chart.summary
        assert chart.note == ""
        assert build(cluster=Cluster.objects.create(name="Other").pk)["escalations"].table.rows == []

    def test_too_many_escalations_are_not_all_counted(self, monkeypatch):
        monkeypatch.setattr(load, "MAX_RUNS", 2)
        for number in range(3):
            add_run(Cluster.objects.default(), NOW - (3 - number) * HOUR, None)
        chart = build()["escalations"]
        assert [row[1] for row in chart.table.rows] == [1, 1]
        assert "05/08/2030 1:20 p.m. are missing" in chart.note

    def test_campaigns_have_their_rates(self):
        key = {"day": NOW.date(), "cluster": Cluster.objects.default(), "event": "news"}
        for campaign, metric, count in (
            ("a", "sent", 10), ("b", "sent", 200), ("b", "opened", 50), ("b", "clicked", 5), ("", "sent", 9),
        ):  # fmt: skip
            TrackingFigure.objects.create(campaign=campaign, metric=metric, count=count, **key)
        chart = build()["campaigns"]
        assert [(row[0], row[1], *row[-2:]) for row in chart.table.rows] == [("b", 200, 25.0, 2.5), ("a", 10, 0.0, 0.0)]
        widths = [part for part in chart.drawing.split('width="') if part.startswith(("2.5%", "22.5%"))]
        assert len(widths) == 2

    def test_digests_and_their_items_are_counted(self):
        add(count=4, kind="digest", outcome="daily")
        add(count=10, kind="merged", outcome="daily")
        found = build()
        assert found["digests"].table.rows == [(NOW.replace(minute=0), 4, 10, 2.5)]
        assert found["attempts"].table.rows == []

    def test_sums_are_grouped(self):
        for hours in range(3):
            add(NOW - hours * HOUR, count=2, call_seconds=0.5)
        [row] = load.load(make_window("24h", NOW, UTC), NOW).sums
        assert (row["channel"], row["count"], row["call_seconds"]) == ("email", 6, 1.5)

    @pytest.mark.needs("prometheus_client")
    def test_digests_are_no_attempts_for_prometheus(self):
        from tests.monitoring.scrapes import counted, scrape

        for kind in ("digest", "merged"):
            FigureDelta.objects.create(hour=NOW, channel="email", band="low", kind=kind, outcome="daily", count=4)
        assert not counted(scrape())
