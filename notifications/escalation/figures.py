"""How escalations went in a period: how many, how many were acknowledged, and how soon."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from django.db.models import Count, Min, Q

from notifications.models import EscalationEntry, EscalationRun

MAX_TIMES = 100_000
"""So many of the newest acknowledgements are read for the median."""


@dataclass(frozen=True)
class EscalationFigures:
    """The escalations that started in a period.

    :param acknowledged: those that somebody has acknowledged, also if they went on later.
    :param exhausted: those that nobody has answered to the end, so far.
    :param running: those that wait for an answer or a step.
    :param median: from the start to the first acknowledgement; None if there is none.
    :param p90: the same; nine of ten acknowledgements took at most so long.
    """

    count: int
    acknowledged: int
    resolved: int
    exhausted: int
    cancelled: int
    running: int
    median: timedelta | None
    p90: timedelta | None


def measure_escalations(using: str, begin: datetime, until: datetime) -> EscalationFigures:
    """Return the figures of the escalations that started from ``begin`` until just before ``until``.

    Two statements, which read the index of the start. The time to acknowledge counts from ``send_at`` if it is later
    than the start.
    """
    state = EscalationRun.State
    runs = EscalationRun.objects.using(using).filter(started_at__gte=begin, started_at__lt=until)
    counts = runs.aggregate(
        count=Count("pk"),
        acknowledged=Count("pk", filter=Q(acknowledged_at__isnull=False)),
        resolved=Count("pk", filter=Q(state=state.RESOLVED)),
        exhausted=Count("pk", filter=Q(state=state.EXHAUSTED)),
        cancelled=Count("pk", filter=Q(state=state.CANCELLED)),
        running=Count("pk", filter=Q(due_at__isnull=False)),
    )
    is_first = Q(entries__kind=EscalationEntry.Kind.ACKNOWLEDGED)
    times = runs.exclude(acknowledged_at=None).annotate(at=Min("entries__at", filter=is_first)).order_by("-started_at")
    rows = times.values_list("at", "started_at", "notification__send_at")[:MAX_TIMES]
    taken = sorted(max(at - max(start, send_at or start), timedelta()) for at, start, send_at in rows if at)
    return EscalationFigures(**counts, median=find_quantile(taken, 0.5), p90=find_quantile(taken, 0.9))


def find_quantile(ordered: list[timedelta], share: float) -> timedelta | None:
    """Return the smallest value that at least this share of the ordered values does not exceed (nearest rank)."""
    return ordered[max(ceil(share * len(ordered)), 1) - 1] if ordered else None
