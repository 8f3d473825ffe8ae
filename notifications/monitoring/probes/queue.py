"""How many deliveries wait, for how long, and how many are dead."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from notifications.monitoring.findings import Finding
from notifications.storage.queue_depth import measure_queue

# The limits of a healthy queue.
MAX_PENDING, MAX_DEAD, MAX_DELAY = 1000, 100, timedelta(seconds=60)


def probe_queue(using: str, now: datetime) -> Iterator[Finding]:
    """Return three findings: ``queue``, ``delay`` and ``dead letters``."""
    queue = measure_queue(using)
    pending = sum(queue.depth["ready"].values())
    delay = now - queue.oldest_ready_at if queue.oldest_ready_at else timedelta()
    yield Finding("queue", pending < MAX_PENDING, f"{pending} deliveries are ready.")
    yield Finding(
        "delay", delay < MAX_DELAY, f"The oldest ready delivery was queued {delay.total_seconds():.0f} s ago."
    )
    yield Finding("dead letters", queue.dead < MAX_DEAD, f"{queue.dead} deliveries are dead.")
