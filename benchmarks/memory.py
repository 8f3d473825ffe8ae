"""A process of its own that sends to all members of a cluster, and says how much memory that took.

It prints megabytes: resident before the call, and the most while it ran; then how many deliveries it queued.
"""

import sys
from pathlib import Path

import django
from django.db import transaction


def main() -> None:
    django.setup()
    # They import models, which may be imported only now.
    from django.contrib.auth.models import User

    from benchmarks.notification_events import BenchEvents
    from benchmarks.send import CONTEXT
    from notifications.manager import NotificationManager
    from notifications.models import Cluster
    from notifications.recipients import Members

    cluster = Cluster.objects.get(pk=int(sys.argv[1]))
    some = User.objects.filter(notification_clusters=cluster)[:10]
    NotificationManager.send(BenchEvents.MAIL, list(some), cluster, CONTEXT)
    start = megabytes("VmRSS")
    # From now on the peak counts anew.
    Path("/proc/self/clear_refs").write_text("5")
    with transaction.atomic():
        result = NotificationManager.send(BenchEvents.MAIL, Members(cluster), cluster, CONTEXT)
    print(start, megabytes("VmHWM"), result.queued)


def megabytes(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    [kilobytes] = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return int(kilobytes) / 1024


if __name__ == "__main__":
    main()
