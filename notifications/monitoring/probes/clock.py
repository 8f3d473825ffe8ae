"""Whether the clocks of this machine and of the database agree."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.utils.translation import gettext as _

from notifications import conf
from notifications.core import clock
from notifications.monitoring.findings import Finding, judge


def probe_clock(using: str, now: datetime) -> Iterator[Finding]:
    """Return the finding ``clock``. What is due depends on the database's clock, and certificates on the other one."""
    if not clock.uses_server_time(using):
        yield Finding("clock", True, _("The database uses the clock of this machine."))
        return
    before = clock.local_now()
    there = clock.now(using)
    after = clock.local_now()
    # The reading was made somewhere between the two, so a slow answer is no skew.
    skew = max(there - after, before - there, timedelta()).total_seconds()
    is_healthy = skew <= conf.current().get_alarm_limit("clock_seconds")
    if not skew:
        detail = _("The clocks agree.")
    elif there > after:
        detail = _("The clock of this machine is %(seconds)s s behind that of the database.")
    else:
        detail = _("The clock of this machine is %(seconds)s s ahead of that of the database.")
    yield judge(
        "clock",
        is_healthy,
        detail % {"seconds": f"{skew:.1f}"},
        _("Let both machines set their clocks by NTP, such as with chrony."),
    )
