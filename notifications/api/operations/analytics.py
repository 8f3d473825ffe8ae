"""Figures about a time: attempts by channel, failures, drops, and what recipients have done."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from django.db import router as databases
from django.db.models import Sum
from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router
from pydantic import BaseModel, Field

from notifications.api.auth import Requires, get_caller
from notifications.api.clusters import choose_cluster
from notifications.api.operations.schemas import ClusterQuery, Moment, make_config
from notifications.api.problems import Problem
from notifications.core import clock
from notifications.models import APIScope, NotificationLog, TrackingFigure
from notifications.storage.log_summary import MAX_ROWS, summarize

router = Router(tags=["analytics"])
READ = Requires(APIScope.ANALYTICS, "klaxon.view_trackingfigure")
WINDOWS = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "90d": timedelta(days=90),
}
MAX_SPAN = timedelta(days=366)


class ChannelFigures(BaseModel):
    """The attempts of a channel."""

    channel: str
    succeeded: int
    failed: int
    success_rate: float | None = Field(description="From 0 to 1; null without attempts.")
    seconds: float | None = Field(description="How long providers took to answer, on average.")


class Summary(BaseModel):
    """The figures of a cluster in a time."""

    model_config = make_config(
        {
            "cluster": "1",
            "start": "2030-05-03T12:00:00Z",
            "end": "2030-05-04T12:00:00Z",
            "is_complete": True,
            "counted_from": "2030-05-03T12:00:00Z",
            "succeeded": 97,
            "failed": 3,
            "success_rate": 0.97,
            "channels": [{"channel": "email", "succeeded": 97, "failed": 3, "success_rate": 0.97, "seconds": 0.21}],
            "failures": {"temporary": 3},
            "dropped": {"preference": 12},
            "tracked": {"opened": 40, "clicked": 9},
        }
    )

    cluster: str
    start: datetime
    end: datetime
    is_complete: bool = Field(description=f"False if there are more than {MAX_ROWS} log rows; the newest are counted.")
    counted_from: datetime
    succeeded: int
    failed: int
    success_rate: float | None
    channels: list[ChannelFigures]
    failures: dict[str, int] = Field(description="The number of failed attempts by reason.")
    dropped: dict[str, int] = Field(description="The number of dropped deliveries by reason.")
    tracked: dict[str, int] = Field(
        description="What happened to deliveries of tracked events and campaigns, on the days of the time."
    )


@router.get("/summary", auth=READ, response=Summary, operation_id="summarize", summary="Summarize a time")
def summarize_time(
    request: HttpRequest,
    cluster: ClusterQuery = None,
    window: Annotated[Literal["1h", "24h", "7d", "30d", "90d"] | None, Query(None, example="24h")] = None,
    start: Annotated[Moment | None, Query(None, example="2030-05-03T12:00:00Z")] = None,
    end: Annotated[Moment | None, Query(None, example="2030-05-04T12:00:00Z")] = None,
) -> Any:
    """Return figures of the time from `start` to `end`, at most 366 days, or of a `window` that ends now.

    Without parameters, the window is 24 hours. The log says what was attempted; what is older than the log is kept is
    not counted.
    """
    chosen = choose_cluster(get_caller(request), cluster)
    using = databases.db_for_write(NotificationLog)
    begin, until = _choose_time(clock.cached_now(using), window, start, end)
    rows, first = summarize(using, chosen.pk, begin, until)
    attempts = [row for row in rows if row.kind == NotificationLog.Kind.ATTEMPT]
    succeeded = sum(row.number for row in attempts if row.success)
    failed = sum(row.number for row in attempts if not row.success)
    return {
        "cluster": str(chosen.pk),
        "start": begin,
        "end": until,
        "is_complete": first is None,
        "counted_from": first or begin,
        "succeeded": succeeded,
        "failed": failed,
        "success_rate": _divide(succeeded, succeeded + failed),
        "channels": [_describe(name, attempts) for name in sorted({row.channel for row in attempts})],
        "failures": _count(attempts, lambda row: not row.success),
        "dropped": _count(rows, lambda row: row.kind == NotificationLog.Kind.DROP),
        "tracked": _load_tracked(chosen, begin, until),
    }


def _choose_time(
    now: datetime, window: str | None, start: datetime | None, end: datetime | None
) -> tuple[datetime, datetime]:
    if window is not None and (start is not None or end is not None):
        raise _make_error("window", "Give either window, or start and end.")
    if start is None and end is None:
        return now - WINDOWS[window or "24h"], now
    if start is None:
        raise _make_error("start", "It is missing.")
    until = now if end is None else end.astimezone(UTC)
    begin = start.astimezone(UTC)
    if not begin < until:
        raise _make_error("start", "It must be before the end.")
    if until - begin > MAX_SPAN:
        raise _make_error("start", f"It must be at most {MAX_SPAN.days} days before the end.")
    return begin, until


def _make_error(name: str, message: str) -> Problem:
    return Problem("invalid", errors=[{"location": f"query.{name}", "message": message}])


def _describe(channel: str, attempts: list[Any]) -> dict[str, Any]:
    rows = [row for row in attempts if row.channel == channel]
    succeeded = sum(row.number for row in rows if row.success)
    total = sum(row.number for row in rows)
    timed = sum(row.timed for row in rows)
    return {
        "channel": channel,
        "succeeded": succeeded,
        "failed": total - succeeded,
        "success_rate": _divide(succeeded, total),
        "seconds": _divide(sum(row.seconds for row in rows), timed),
    }


def _divide(part: float, whole: float) -> float | None:
    return round(part / whole, 6) if whole else None


def _count(rows: list[Any], is_counted: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in filter(is_counted, rows):
        found[row.reason] = found.get(row.reason, 0) + row.number
    return found


def _load_tracked(cluster: Any, begin: datetime, until: datetime) -> dict[str, int]:
    zone = timezone.get_default_timezone()
    days = timezone.localdate(begin, zone), timezone.localdate(until, zone)
    figures = TrackingFigure.objects.filter(cluster=cluster, day__range=days).order_by()
    return dict(figures.values_list("metric").annotate(total=Sum("count")))
