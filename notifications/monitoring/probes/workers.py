"""Whether workers are alive."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from notifications import conf
from notifications.models import Heartbeat
from notifications.monitoring.findings import Finding


def probe_workers(using: str, now: datetime) -> Iterator[Finding]:
    """Return the finding ``workers``."""
    alive = sum(is_alive(row, now) for row in Heartbeat.objects.using(using))
    site = conf.current()
    is_needed = site.enabled and site.delivery == "queued" and not site.celery
    yield Finding("workers", alive > 0 or not is_needed, f"{alive} workers are alive.")


def is_alive(row: Heartbeat, now: datetime) -> bool:
    """Return whether a worker has reported within the time of a lease."""
    return now - row.beat_at <= timedelta(seconds=conf.current().lease_seconds)
