"""``bridge_can`` in a process of its own, whose faults are cleared a moment after they have ended: ``-m`` this.

It loads Django once, and for each line of its input it forks a bridge. It prints the bridge's process id, and when that
has ended, its exit status.
"""

import os
import sys

import django
from django.core.management import execute_from_command_line

from notifications.can.faults import FaultChange
from notifications.can.python_rules import can_rule
from notifications.can.sends import Send

QUIET_SECONDS = 0.3


@can_rule
def notify_everybody(change: FaultChange) -> list[Send]:
    from django.contrib.auth.models import User

    kind = f"{change.kind} {change.correlation_id}"
    return [Send("order_shipped", User.objects.all(), None, {"order_number": kind, "eta": None})]


def main(arguments: list[str]) -> None:
    for _line in sys.stdin:
        pid = os.fork()
        if not pid:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            execute_from_command_line(["manage.py", "bridge_can", *arguments])
            sys.stdout.flush()
            os._exit(0)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    django.setup()
    from notifications.can.fault_tracker import FaultTracker
    from notifications.management.commands import bridge_can  # noqa: F401 - so that each bridge starts at once

    FaultTracker.__init__.__defaults__ = (*FaultTracker.__init__.__defaults__[:-1], QUIET_SECONDS)
    main(sys.argv[1:])
