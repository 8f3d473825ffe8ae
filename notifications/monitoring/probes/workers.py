"""Whether workers are alive."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from notifications import conf
from notifications.models import Heartbeat
from notifications.monitoring.findings import Finding


def probe_workers(using: str, now: datetime) -> Iterator[Finding]:
    """Return the finding ``workers``."""
    rows = list(Heartbeat.objects.using(using))
    alive = sum(is_alive(row, now) for row in rows)
    site = conf.current()
    is_needed = site.enabled and site.delivery == "queued" and not site.celery
    last = max((row.beat_at for row in rows), default=None)
    yield Finding("workers", alive > 0 or not is_needed, f"{alive} workers are alive.", since=last)


def is_alive(row: Heartbeat, now: datetime) -> bool:
    """Return whether a worker has reported within the time of a lease."""
    return now - row.beat_at <= timedelta(seconds=conf.current().lease_seconds)
