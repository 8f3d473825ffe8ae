"""Samples of the queue: how deep it is, and how late the oldest due delivery of each band is."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db import router, transaction
from django.db.models import F
from django.db.models.functions import Greatest

from notifications.core.databases import read_from_primary
from notifications.models import QueueSample
from notifications.models.figure import BAND_NAMES
from notifications.storage.queue_depth import measure_delays, measure_queue

MIN_AGE = timedelta(seconds=15)
"""Another process has measured the queue if the last sample is younger."""


@read_from_primary()
def sample_queue(now: datetime, should_stop: Callable[[], bool] = lambda: False) -> bool:
    """Measure the queue and store it as the sample of this minute, unless another process has just done so.

    Return whether it was measured. A periodic task.
    """
    using = router.db_for_write(QueueSample)
    samples = QueueSample.objects.using(using)
    # A sample from before the clock was set back is in the future.
    recent = samples.filter(minute__range=(now - timedelta(minutes=2), now), measured_at__gt=now - MIN_AGE)
    if recent.exists():
        return False
    measured, minute = measure_bands(using, now), now.replace(second=0, microsecond=0)
    delays = {name: value for name, value in measured.items() if name.startswith("delay_")}
    with transaction.atomic(using=using):
        _row, is_new = samples.get_or_create(minute=minute, defaults={**measured, "measured_at": now})
        if not is_new:
            highest = {name: Greatest(F(name), value) for name, value in delays.items()}
            samples.filter(minute=minute).update(**{**measured, **highest, "measured_at": now})
    return True


def measure_bands(using: str, now: datetime) -> dict[str, Any]:
    """Return the values of a sample: ``ready_*``, ``waiting_*`` and ``delay_*`` of each band, and ``dead``."""
    queue, delays = measure_queue(using), measure_delays(using, now)
    values: dict[str, Any] = {"dead": queue.dead}
    for band in BAND_NAMES:
        values[f"ready_{band}"] = queue.depth["ready"][band]
        values[f"waiting_{band}"] = queue.depth["waiting"][band]
        values[f"delay_{band}"] = delays[band]
    return values
