"""How many deliveries wait, for how long, and how many are dead."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from notifications import conf
from notifications.monitoring.findings import Finding
from notifications.storage.queue_depth import measure_queue


def probe_queue(using: str, now: datetime) -> Iterator[Finding]:
    """Return three findings: ``queue``, ``delay`` and ``dead letters``."""
    queue, limit = measure_queue(using), conf.current().get_alarm_limit
    pending = sum(queue.depth["ready"].values())
    delay = now - queue.oldest_ready_at if queue.oldest_ready_at else timedelta()
    max_delay = timedelta(seconds=limit("delay"))
    yield Finding("queue", pending < limit("queue"), f"{pending} deliveries are ready.")
    yield Finding(
        "delay",
        delay < max_delay,
        f"The oldest ready delivery was queued {delay.total_seconds():.0f} s ago.",
    )
    yield Finding("dead letters", queue.dead < limit("dead_letters"), f"{queue.dead} deliveries are dead.")
