"""How many attempts have succeeded, and when the last one did."""

from datetime import datetime
from typing import NamedTuple

from notifications.monitoring.figures import count_recent_outcomes
from notifications.monitoring.readings import read_attempts


class Success(NamedTuple):
    """What became of the attempts of some time.

    :param succeeded: accepted by a provider.
    :param failed: all others. A delivery that needed three attempts has failed twice.
    """

    succeeded: int
    failed: int

    @property
    def total(self) -> int:
        return self.succeeded + self.failed

    @property
    def rate(self) -> float | None:
        """The share of the attempts that succeeded, from 0 to 1; None without attempts."""
        return self.succeeded / self.total if self.total else None


def measure_success(using: str, now: datetime) -> Success:
    """Count the attempts of the present hour and of the 23 hours before."""
    return Success(*count_recent_outcomes(using, now))


def measure_recent_success(using: str, now: datetime) -> Success:
    """Count the attempts of the last 15 minutes, among the newest 50,000 log rows."""
    rows = read_attempts(using, now)
    return Success(sum(row.recent_succeeded for row in rows), sum(row.recent_failed for row in rows))


def find_last_success(using: str, now: datetime) -> datetime | None:
    """Return when a provider last accepted something within 24 hours, or None."""
    times = [row.last_success for row in read_attempts(using, now) if row.last_success]
    return max(times, default=None)
