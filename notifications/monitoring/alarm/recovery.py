"""What the system does by itself about a cause, such as deleting old rows while the disk is full."""

import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from notifications.delivering.workers.periodic_tasks import ShouldStop
from notifications.monitoring.findings import Finding

logger = logging.getLogger("notifications.alarm")

Recovery = Callable[[datetime, ShouldStop], Any]
"""A function that gets the time, and a function that returns whether to stop early, as a periodic task does."""

RECOVERIES: dict[str, Recovery] = {}


def register_recovery(cause: str, recover: Recovery) -> None:
    """Let a function be called each time that the finding of this name is not healthy, by one process at a time.

    An error that it raises is logged, and it is called again at the next examination.
    """
    RECOVERIES[cause] = recover


def run_recoveries(findings: Iterable[Finding], now: datetime, should_stop: ShouldStop) -> None:
    """Call the functions of the findings that are not healthy."""
    for finding in findings:
        recover = RECOVERIES.get(finding.name)
        if recover is None or finding.is_healthy or should_stop():
            continue
        logger.warning("Recovering from %r: %s", finding.name, finding.detail)
        try:
            recover(now, should_stop)
        except Exception:
            # Whatever fails here, the other causes must be announced.
            logger.exception("The recovery from %r has failed. It is tried again.", finding.name)
