"""Read the figures: totals of events, campaigns and variants in a period, and their course over the days.

All functions read the table of figures, which has a few rows for each day, and never the deliveries.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from django.db.models import QuerySet, Sum

from notifications.models import TrackingFigure

Metric = TrackingFigure.Metric
MAX_SUBJECTS = 200
PLOTTED = (Metric.SENT, Metric.OPENED, Metric.CLICKED)
RATES = (Metric.DELIVERED, Metric.OPENED, Metric.CLICKED, Metric.BOUNCED, Metric.COMPLAINED, Metric.UNSUBSCRIBED)


@dataclass(frozen=True)
class Period:
    """A first and a last day, both included."""

    first: date
    last: date

    @property
    def days(self) -> list[date]:
        return [self.first + timedelta(days=number) for number in range((self.last - self.first).days + 1)]


@dataclass
class Totals:
    """The counts of one event and campaign, of one variant or of one day, by metric."""

    name: tuple[Any, ...]
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    @property
    def cells(self) -> list[tuple[int, float | None]]:
        """Each metric in the order of :class:`Metric`, with its share of the sent deliveries if it has one."""
        sent = self.counts[Metric.SENT]
        found: list[tuple[int, float | None]] = []
        for metric in Metric:
            count = self.counts[metric]
            found.append((count, 100 * count / sent if sent and metric in RATES else None))
        return found


def select(period: Period, **filters: Any) -> QuerySet[TrackingFigure]:
    """Return the figures of a period; ``filters`` are an event, a campaign, a variant and a cluster, each if it is
    given."""
    chosen = {name: value for name, value in filters.items() if value not in (None, "")}
    return TrackingFigure.objects.filter(day__range=(period.first, period.last), **chosen)


def summarize(rows: QuerySet[TrackingFigure], *columns: str) -> list[Totals]:
    """Return the totals for each combination of these columns, in their order. It takes one query."""
    found: dict[tuple[Any, ...], Totals] = {}
    grouped = rows.order_by(*columns).values_list(*columns, "metric").annotate(total=Sum("count"))
    for *name, metric, total in grouped:
        key = tuple(name)
        found.setdefault(key, Totals(key)).counts[metric] = total
    return list(found.values())


def list_subjects(rows: QuerySet[TrackingFigure]) -> list[Totals]:
    """Return the totals of the events and campaigns with the most deliveries."""
    totals = summarize(rows, "event", "campaign")
    return sorted(totals, key=lambda one: (-one.counts[Metric.SENT], one.name))[:MAX_SUBJECTS]


def list_days(rows: QuerySet[TrackingFigure], period: Period) -> list[Totals]:
    """Return the totals of each day of a period, also of days without any."""
    found = {totals.name[0]: totals for totals in summarize(rows, "day")}
    return [found.get(day) or Totals((day,)) for day in period.days]


@dataclass(frozen=True)
class Curve:
    """A line of the chart: its metric, its label and its points in SVG coordinates."""

    metric: str
    label: str
    points: str


@dataclass(frozen=True)
class Chart:
    """A chart of the days of a period, 100 units high.

    :param most: the number at the top.
    """

    width: int
    most: int
    curves: Sequence[Curve]


def build_chart(days: Sequence[Totals], width: int = 600) -> Chart:
    """Return the chart of the plotted metrics. The function is pure."""
    most = max((totals.counts[metric] for totals in days for metric in PLOTTED), default=0)
    step = width / max(len(days) - 1, 1)
    curves = [Curve(metric.value, str(metric.label), _plot(metric, days, step, most)) for metric in PLOTTED]
    return Chart(width, most, curves)


def _plot(metric: str, days: Iterable[Totals], step: float, most: int) -> str:
    heights = (100 - 100 * totals.counts[metric] / most if most else 100.0 for totals in days)
    return " ".join(f"{number * step:.1f},{height:.1f}" for number, height in enumerate(heights))


def get_counts(totals: Iterable[Totals]) -> Mapping[tuple[Any, ...], Mapping[str, int]]:
    """Return the counts by name and metric, without zeros."""
    return {one.name: {metric: count for metric, count in one.counts.items() if count} for one in totals}
