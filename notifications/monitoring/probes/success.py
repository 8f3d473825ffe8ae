"""How many attempts succeed, and when each channel was last used with success."""

from collections.abc import Iterator
from datetime import datetime

from django.utils.translation import gettext as _

from notifications import conf
from notifications.monitoring.findings import Finding, judge
from notifications.monitoring.probes.workers import describe_time
from notifications.monitoring.readings import read_attempts
from notifications.monitoring.success import Success, measure_recent_success, measure_success

MIN_ATTEMPTS = 20
"""Fewer attempts in 15 minutes say nothing about the share that succeeds."""
MIN_CHANNEL_FAILURES = 5
"""A channel does not work if so many attempts failed within 15 minutes, and none succeeded."""


def probe_success(using: str, now: datetime) -> Iterator[Finding]:
    """Return two findings: ``success``, of all attempts, and ``channels``, of each channel."""
    recent = measure_recent_success(using, now)
    limit = conf.current().get_alarm_limit("success_rate")
    is_good = recent.rate is None or recent.total < MIN_ATTEMPTS or recent.rate >= limit
    yield judge(
        "success",
        is_good,
        _describe_success(measure_success(using, now), _("24 hours"))
        + " "
        + _describe_success(recent, _("15 minutes")),
        _("Filter the log by failed attempts: the reason and the provider show where the failures come from."),
    )
    rows = read_attempts(using, now)
    failing = [row.channel for row in rows if row.recent_failed >= MIN_CHANNEL_FAILURES and not row.recent_succeeded]
    last = [
        _("%(channel)s: accepted %(time)s ago.")
        % {"channel": row.channel, "time": describe_time(now - row.last_success)}
        if row.last_success
        else _("%(channel)s: nothing accepted.") % {"channel": row.channel}
        for row in rows
    ]
    yield judge(
        "channels",
        not failing,
        " ".join(last) or _("No attempts within 24 hours."),
        _("Nothing of %(names)s is accepted: check the credentials and the state of the provider.")
        % {"names": ", ".join(failing)},
    )


def _describe_success(success: Success, period: str) -> str:
    if success.rate is None:
        return _("No attempts within %(period)s.") % {"period": period}
    # Rounded down, so that only all of them are 100.
    return _("%(percent)s %% of %(count)d attempts within %(period)s succeeded.") % {
        "percent": int(success.rate * 1000) / 10,
        "count": success.total,
        "period": period,
    }
