"""Whether the clocks of this machine and of the database agree."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from notifications import conf
from notifications.core import clock
from notifications.monitoring.findings import Finding


def probe_clock(using: str, now: datetime) -> Iterator[Finding]:
    """Return the finding ``clock``. What is due depends on the database's clock, and certificates on the other one."""
    if not clock.uses_server_time(using):
        yield Finding("clock", True, "The database uses the clock of this machine.")
        return
    before = clock.local_now()
    there = clock.now(using)
    after = clock.local_now()
    # The reading was made somewhere between the two, so a slow answer is no skew.
    skew = max(there - after, before - there, timedelta()).total_seconds()
    is_healthy = skew <= conf.current().get_alarm_limit("clock_seconds")
    side = "behind" if there > after else "ahead of"
    yield Finding(
        "clock",
        is_healthy,
        f"The clock of this machine is {skew:.1f} s {side} that of the database." if skew else "The clocks agree.",
        "" if is_healthy else "Let both machines set their clocks by NTP, such as with chrony.",
    )
