"""Read what the charts need: a constant number of statements, each over a bounded number of rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Min, Q, Sum

from notifications.models import (
    Availability,
    EscalationEntry,
    EscalationRun,
    Figure,
    QueueSample,
    TrackingFigure,
)
from notifications.monitoring.analytics.window import Window
from notifications.storage.figures import SENT

Kind = Figure.Kind
MAX_RUNS = 5_000
DEPTH_SPAN = timedelta(hours=24)


class HourFigures(NamedTuple):
    """What happened in an hour, which starts at ``hour``: messages, digests, and deliveries in digests."""

    hour: datetime
    sent: int
    failed: int
    digests: int
    items: int


class Run(NamedTuple):
    """An escalation. ``acknowledged_at`` is the time of the first acknowledgement; None if there was none."""

    started_at: datetime
    cluster_id: Any
    acknowledged_at: datetime | None


@dataclass(frozen=True)
class Data:
    """The values of a report.

    :param sums: the sums of the figures by channel, provider, kind and outcome.
    :param samples: the samples of the queue of the last 24 hours, the oldest first.
    :param minutes: by band, the number of measured minutes and of those that were good.
    :param runs_since: if there were more than :data:`MAX_RUNS` escalations, when the oldest one that counts started.
    :param campaigns: the counts of each campaign by metric.
    """

    window: Window
    has_cluster: bool
    sums: Sequence[Mapping[str, Any]]
    hours: Sequence[HourFigures]
    samples: Sequence[QueueSample]
    minutes: Mapping[str, tuple[int, int]]
    runs: Sequence[Run]
    runs_since: datetime | None
    campaigns: Mapping[str, Mapping[str, int]]


def load(window: Window, now: datetime, cluster_id: Any = None) -> Data:
    """Read the values of a window, of one cluster or of all. It takes six statements."""
    figures = Figure.objects.between(window.since, window.until)
    if cluster_id is not None:
        figures = figures.filter(cluster=cluster_id)
    runs, runs_since = _load_runs(window, cluster_id)
    return Data(
        window,
        cluster_id is not None,
        list(figures.summed_by("channel", "provider", "kind", "outcome")),
        _load_hours(figures),
        list(QueueSample.objects.filter(minute__gt=now - DEPTH_SPAN, minute__lte=now).order_by("minute")),
        _load_minutes(window),
        runs,
        runs_since,
        _load_campaigns(window, cluster_id),
    )


def _load_hours(figures: Any) -> list[HourFigures]:
    conditions = {
        "sent": Q(kind=Kind.ATTEMPT, outcome=SENT),
        "failed": Q(kind=Kind.ATTEMPT) & ~Q(outcome=SENT),
        "digests": Q(kind=Kind.DIGEST),
        "items": Q(kind=Kind.MERGED),
    }
    sums = {name: Sum("count", filter=condition, default=0) for name, condition in conditions.items()}
    rows = figures.order_by("hour").values("hour").annotate(**sums).values_list("hour", *conditions)
    return [HourFigures(*row) for row in rows]


def _load_minutes(window: Window) -> dict[str, tuple[int, int]]:
    rows = Availability.objects.filter(hour__gte=window.since, hour__lt=window.until).order_by("band")
    sums = rows.values_list("band").annotate(Sum("minutes"), Sum("good_minutes"))
    return {band: (minutes, good) for band, minutes, good in sums}


def _load_runs(window: Window, cluster_id: Any) -> tuple[list[Run], datetime | None]:
    # The newest have the highest keys, so this reads no further than the limit.
    newest = EscalationRun.objects.order_by("-pk").values("pk")[:MAX_RUNS]
    first = Min("entries__at", filter=Q(entries__kind=EscalationEntry.Kind.ACKNOWLEDGED))
    found = EscalationRun.objects.filter(pk__in=newest, started_at__gte=window.since, started_at__lt=window.until)
    rows = found.annotate(first=first).order_by("pk").values_list("started_at", "notification__cluster", "first")
    runs = [Run(*row) for row in rows]
    since = runs[0].started_at if len(runs) == MAX_RUNS else None
    return [run for run in runs if cluster_id in (None, run.cluster_id)], since


def _load_campaigns(window: Window, cluster_id: Any) -> dict[str, dict[str, int]]:
    rows = TrackingFigure.objects.filter(day__range=(window.first_day, window.last_day)).exclude(campaign="")
    if cluster_id is not None:
        rows = rows.filter(cluster=cluster_id)
    found: dict[str, dict[str, int]] = {}
    for campaign, metric, total in rows.order_by("campaign").values_list("campaign", "metric").annotate(Sum("count")):
        found.setdefault(campaign, {})[metric] = total
    return found
