"""Moving new figures into hourly rows and totals, reading the outcomes of a day, and deleting old rows."""

from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import router

from notifications import conf
from notifications.core import clock
from notifications.core.databases import read_from_primary
from notifications.models import Availability, Figure, FigureDelta, QueueSample
from notifications.storage.figures import SENT, TOTAL, find_hour, move_deltas, read_hours

MOVE_LIMIT = 2000
"""How many rows one transaction moves."""
SAMPLES_KEPT = timedelta(days=8)


@read_from_primary()
def move_all(now: datetime, should_stop: Callable[[], bool] = lambda: False) -> int:
    """Move all new figures into the hourly rows and the totals; return their number. A periodic task."""
    using, moved = router.db_for_write(FigureDelta), 0
    while not should_stop():
        number = move_deltas(using, MOVE_LIMIT)
        moved += number
        if number < MOVE_LIMIT:
            break
    return moved


def count_recent_outcomes(using: str, now: datetime) -> tuple[int, int]:
    """Return how many attempts were accepted and how many failed, in the present hour and the 23 hours before."""
    until = find_hour(now) + timedelta(hours=1)
    figures = read_hours(using, until - timedelta(hours=24), until)
    attempts = [(key.outcome, sums[0]) for key, sums in figures.items() if key.kind == "attempt"]
    succeeded = sum(count for outcome, count in attempts if outcome == SENT)
    return succeeded, sum(count for _, count in attempts) - succeeded


@read_from_primary()
def delete_expired(now: datetime, should_stop: Callable[[], bool] = lambda: False) -> int:
    """Delete the figures that are older than ``METRICS["KEEP_DAYS"]``; return their number. A periodic task."""
    days = conf.current().get_metrics_option("KEEP_DAYS")
    return delete_old_figures(router.db_for_write(Figure), now - timedelta(days=days))


def delete_old_figures(using: str, before: datetime) -> int:
    """Delete the hourly figures and the availability of hours before a time, and samples of the queue after 8 days.

    The totals since the beginning stay. Return the number of deleted rows.
    """
    hourly = Figure.objects.using(using).exclude(hour=TOTAL).filter(hour__lt=before)
    deleted = hourly.delete()[0] + Availability.objects.using(using).filter(hour__lt=before).delete()[0]
    # A sample of the future, written before the clock was set back, must not make the others old.
    past = QueueSample.objects.using(using).filter(minute__lte=clock.now(using))
    newest = past.order_by("-minute").values_list("minute", flat=True).first()
    if newest is not None:
        deleted += past.filter(minute__lt=newest - SAMPLES_KEPT).delete()[0]
    return deleted
