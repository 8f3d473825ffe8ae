"""The report: all charts of a window."""

from datetime import datetime, tzinfo
from typing import Any

from notifications.monitoring.analytics.chart import Chart
from notifications.monitoring.analytics.load import load
from notifications.monitoring.analytics.people_charts import chart_campaigns, chart_digests, chart_escalations
from notifications.monitoring.analytics.queue_charts import chart_availability, chart_depth
from notifications.monitoring.analytics.sent_charts import (
    chart_attempts,
    chart_drops,
    chart_failures,
    chart_hours,
    chart_latency,
    chart_success,
)
from notifications.monitoring.analytics.window import make_window

CHART_KEYS = (
    "depth", "attempts", "success", "latency", "availability", "hours", "failures", "drops", "escalations", "digests",
    "campaigns",
)  # fmt: skip


def build_report(key: str, now: datetime, zone: tzinfo, cluster_id: Any = None) -> list[Chart]:
    """Return the charts in the order of :data:`CHART_KEYS`, in the active language.

    It reads hourly figures and samples with a constant number of statements.

    :param key: the window: ``"24h"``, ``"7d"``, ``"30d"`` or ``"90d"``.
    :param zone: the time zone of the reader.
    :param cluster_id: only this cluster; by default all.
    """
    data = load(make_window(key, now, zone), now, cluster_id)
    return [
        chart_depth(data, now),
        chart_attempts(data),
        chart_success(data),
        chart_latency(data),
        chart_availability(data),
        chart_hours(data),
        chart_failures(data),
        chart_drops(data),
        chart_escalations(data),
        chart_digests(data),
        chart_campaigns(data),
    ]
