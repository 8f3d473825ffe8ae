"""Availability: in how many minutes the oldest due delivery of a band was within the latency of the band.

It is calculated from the samples of the queue. A minute without a sample is bad if the next sample shows that something
was overdue at the end of that minute, and otherwise good: no worker has to run while nothing is due.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from django.db import router

from notifications import conf
from notifications.core.databases import read_from_primary
from notifications.models import Availability, QueueSample
from notifications.models.figure import BAND_NAMES
from notifications.monitoring.figures.keeping import SAMPLES_KEPT
from notifications.storage.figures import find_hour

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@read_from_primary()
def roll_up_availability(now: datetime, should_stop: Callable[[], bool] = lambda: False) -> int:
    """Calculate the availability of the hours since the last one that is complete; return the number of rows.

    Any number of processes can do it, because the result depends on the samples only. A periodic task.
    """
    using = router.db_for_write(Availability)
    # What is in the future was written before the clock was set back.
    past = Availability.objects.using(using).filter(hour__lte=now)
    newest = past.order_by("-hour").values_list("hour", flat=True).first()
    # The newest hour may have been incomplete, and the one before may have ended without a sample.
    start = find_hour(now - SAMPLES_KEPT) if newest is None else newest - HOUR
    samples = QueueSample.objects.using(using)
    found = list(samples.filter(minute__gte=start, minute__lte=now).order_by("minute"))
    if not found:
        return 0
    limits = conf.current().get_latency_limits()
    first = start if samples.filter(minute__lt=start).exists() else found[0].minute
    rows = [
        Availability(hour=hour, band=band, minutes=minutes, good_minutes=good)
        for band in BAND_NAMES
        for hour, (minutes, good) in count_minutes(found, band, limits[band], first).items()
        if not should_stop()
    ]
    Availability.objects.using(using).bulk_create(
        rows, update_conflicts=True, unique_fields=["hour", "band"], update_fields=["minutes", "good_minutes"]
    )
    return len(rows)


def count_minutes(
    samples: Sequence[QueueSample], band: str, limit: float, first: datetime
) -> Mapping[datetime, tuple[int, int]]:
    """Return the number of minutes and of good minutes of each hour, from the minute ``first`` to the last sample.

    :param samples: in the order of their minutes.
    :param limit: the seconds by which a delivery may be late in a good minute.
    """
    counts: dict[datetime, list[int]] = {}
    for sample in samples:
        last_good = find_last_good_minute(sample, getattr(sample, f"delay_{band}") - limit)
        # In whole hours, because months without a sample are possible.
        while first <= sample.minute:
            hour = find_hour(first)
            end = min(sample.minute, hour + HOUR - MINUTE)
            count = counts.setdefault(hour, [0, 0])
            count[0] += count_minutes_until(first, end)
            count[1] += count_minutes_until(first, min(end, last_good))
            first = end + MINUTE
    return {hour: (minutes, good) for hour, (minutes, good) in counts.items()}


def find_last_good_minute(sample: QueueSample, excess: float) -> datetime:
    """Return the last good minute up to that of a sample, which shows the minutes since the sample before it.

    :param excess: the seconds by which the oldest due delivery exceeded the limit when the sample was taken.
    """
    if excess <= 0:
        return sample.minute
    # At the end of a minute so long before, it did not exceed the limit yet.
    return min(sample.minute, sample.measured_at - timedelta(seconds=excess)) - MINUTE


def count_minutes_until(first: datetime, last: datetime) -> int:
    """Return the number of minutes that begin from a full minute until a time."""
    return max(0, (last - first) // MINUTE + 1)
