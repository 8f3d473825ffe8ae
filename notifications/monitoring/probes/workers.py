"""Whether workers are alive, and for how long."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from notifications import conf
from notifications.models import Heartbeat
from notifications.monitoring.findings import Finding, judge
from notifications.monitoring.readings import read_workers


def probe_workers(using: str, now: datetime) -> Iterator[Finding]:
    """Return the finding ``workers``."""
    rows = read_workers(using)
    alive = [row for row in rows if is_alive(row, now)]
    site = conf.current()
    is_needed = site.enabled and site.delivery == "queued" and not site.celery
    detail = ngettext("%(count)d worker is alive.", "%(count)d workers are alive.", len(alive)) % {"count": len(alive)}
    if uptime := find_uptime(using, now):
        detail += " " + _("The oldest was started %(time)s ago.") % {"time": describe_time(uptime)}
    if lost := len(rows) - len(alive):
        text = ngettext("%(count)d has stopped reporting.", "%(count)d have stopped reporting.", lost)
        detail += " " + text % {"count": lost}
    yield judge(
        "workers",
        bool(alive) or not is_needed,
        detail,
        _(
            "Start workers with the command dispatch_notifications. If they were started, read their log: they may "
            "have been ended, or cannot reach the database."
        ),
        since=max((row.beat_at for row in rows), default=None),
    )


def is_alive(row: Heartbeat, now: datetime) -> bool:
    """Return whether a worker has reported within the time of a lease."""
    # A worker that lives corrects a time in the future, which is one from before the clock was set back.
    return abs(now - row.beat_at) <= timedelta(seconds=conf.current().lease_seconds)


def find_uptime(using: str, now: datetime) -> timedelta | None:
    """Return how long ago the oldest worker that is alive was started, or None if none is alive."""
    started = [row.started_at for row in read_workers(using) if is_alive(row, now)]
    return max(now - min(started), timedelta()) if started else None


def describe_time(time: timedelta) -> str:
    """Return a length of time in its largest unit, such as ``3 h``."""
    seconds = round(time.total_seconds())
    if seconds < 60:
        return _("%(count)d s") % {"count": seconds}
    if seconds < 3600:
        return _("%(count)d min") % {"count": seconds // 60}
    if seconds < 48 * 3600:
        return _("%(count)d h") % {"count": seconds // 3600}
    return ngettext("%(count)d day", "%(count)d days", seconds // 86400) % {"count": seconds // 86400}
