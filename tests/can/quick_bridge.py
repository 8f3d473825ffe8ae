"""``bridge_can`` as a process of its own, whose faults are cleared a moment after they have ended: ``-m`` this."""

import sys

import django
from django.core.management import execute_from_command_line

from notifications.can.faults import FaultChange
from notifications.can.sends import Send

QUIET_SECONDS = 0.3


def rules(change: FaultChange) -> list[Send]:
    from django.contrib.auth.models import User

    kind = f"{change.kind} {change.correlation_id}"
    return [Send("order_shipped", User.objects.all(), None, {"order_number": kind, "eta": None})]


if __name__ == "__main__":
    django.setup()
    from notifications.can.fault_tracker import FaultTracker

    FaultTracker.__init__.__defaults__ = (*FaultTracker.__init__.__defaults__[:-1], QUIET_SECONDS)
    execute_from_command_line(["manage.py", "bridge_can", *sys.argv[1:]])
