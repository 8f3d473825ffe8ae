"""A process that sends to all members of a cluster and prints how much memory the call takes.

It prints the resident memory before the call and the peak during the call, in megabytes, and the number of queued
deliveries.
"""

import sys
from pathlib import Path

import django
from django.db import transaction


def main() -> None:
    django.setup()
    # These import models, which is possible only now.
    from django.contrib.auth.models import User

    from benchmarks.notification_events import BenchEvents
    from benchmarks.send import CONTEXT
    from notifications.manager import NotificationManager
    from notifications.models import Cluster
    from notifications.recipients import Members

    cluster = Cluster.objects.get(pk=int(sys.argv[1]))
    users = User.objects.filter(notification_clusters=cluster)[:10]
    NotificationManager.send(BenchEvents.MAIL, list(users), cluster, CONTEXT)
    start = read_megabytes("VmRSS")
    # Reset the peak.
    Path("/proc/self/clear_refs").write_text("5")
    with transaction.atomic():
        result = NotificationManager.send(BenchEvents.MAIL, Members(cluster), cluster, CONTEXT)
    print(start, read_megabytes("VmHWM"), result.queued)


def read_megabytes(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    [kilobytes] = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return int(kilobytes) / 1024


if __name__ == "__main__":
    main()
