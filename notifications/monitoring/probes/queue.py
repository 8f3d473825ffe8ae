"""How many deliveries wait, for how long, and how many are dead."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from notifications import conf
from notifications.monitoring.findings import Finding, judge
from notifications.monitoring.probes.workers import describe_time
from notifications.monitoring.readings import read_queue
from notifications.storage.queue_depth import QueueDepth


def probe_queue(using: str, now: datetime) -> Iterator[Finding]:
    """Return three findings: ``queue``, ``delay`` and ``dead letters``."""
    queue, limit = read_queue(using), conf.current().get_alarm_limit
    pending = sum(queue.depth["ready"].values())
    yield judge(
        "queue",
        pending < limit("queue"),
        ngettext("%(count)d delivery is ready.", "%(count)d deliveries are ready.", pending) % {"count": pending},
        _(
            "Read the findings about workers and providers first: they may explain the queue. Otherwise start more "
            "workers. If one event floods the queue, cancel its notifications, or give it a limit."
        ),
    )
    delay = measure_delay(queue, now)
    yield judge(
        "delay",
        delay < timedelta(seconds=limit("delay")),
        _("The oldest due delivery has waited for %(time)s.") % {"time": describe_time(delay)},
        _(
            "Check that workers run and that no channel is paused. If they do, start more of them, or look for a slow "
            "provider in the list of circuits."
        ),
    )
    yield judge(
        "dead letters",
        queue.dead < limit("dead_letters"),
        ngettext("%(count)d delivery is dead.", "%(count)d deliveries are dead.", queue.dead) % {"count": queue.dead},
        _(
            "Find the cause in the list of dead deliveries, and mend it. Then send them again there or with the "
            "command replay_dead_letters, or cancel them."
        ),
    )


def measure_delay(queue: QueueDepth, now: datetime) -> timedelta:
    """Return how late the oldest delivery is that could be sent: one that is ready, or that is due and still waits."""
    times = [at for at in (queue.oldest_ready_at, queue.oldest_due_at) if at is not None]
    return max((now - at for at in times), default=timedelta()) if times and min(times) < now else timedelta()
