"""A live bridge that survives an outage of its database: ``python -m tests.can.outage_story SPOOL SECONDS``.

It is a separate process, because its caller stops and starts the database server. It prints when the vehicle starts to
send frames and, at the end, the results as JSON.
"""

import json
import sys
import threading
import time
from collections import Counter
from io import StringIO

import django

django.setup()

import can  # noqa: E402 - models can be imported only now
from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import override_settings  # noqa: E402

from notifications.can.faults import FaultChange  # noqa: E402
from notifications.can.python_rules import can_rule  # noqa: E402
from notifications.can.sends import Send  # noqa: E402
from notifications.models import Cluster, InboxItem, Notification  # noqa: E402
from notifications.recipients import Members  # noqa: E402

CHANNEL = "klaxon-outage"


class Coach:
    """The objects that the rules need, loaded once."""

    cluster: Cluster


@can_rule
def notify(change: FaultChange) -> list[Send]:
    cluster = Coach.cluster
    return [Send("order_shipped", Members(cluster), cluster, {"order_number": change.correlation_id, "eta": None})]


def vehicle(seconds: float, sent: list[int]) -> None:
    """Send a new fault every 20 ms."""
    ends_at = time.monotonic() + seconds
    with can.Bus(interface="virtual", channel=CHANNEL) as node:
        while time.monotonic() < ends_at:
            number = len(sent) + 1
            data = bytes([0x05, 0x45, number >> 8 & 0xFF, number & 0xFF, 0x01, 0x01, 0xFF, 0xFF])
            node.send(can.Message(arbitration_id=0x19FECA44, data=data, is_extended_id=True))
            sent.append(number)
            time.sleep(0.02)


def run_command(command: str, **options: object) -> str:
    out = StringIO()
    call_command(command, stdout=out, **options)
    return out.getvalue().splitlines()[-1]


def story(seconds: float) -> dict[str, object]:
    call_command("migrate", verbosity=0)
    Coach.cluster = Cluster.objects.create(name="Coach", slug="coach", open_to_all=True)
    User.objects.create(username="driver")
    sent: list[int] = []
    sending = threading.Timer(0.5, vehicle, (seconds - 1.5, sent))
    sending.start()
    print("The vehicle sends frames.", flush=True)
    bridge = run_command("bridge_can", interface="virtual", channel=CHANNEL, seconds=seconds)
    sending.join()
    sys.stdin.readline()  # the server is up again
    connection.close()  # as in a new process: the bridge may have kept a connection that is lost
    replay, deliver = run_command("replay_spool"), run_command("dispatch_notifications")
    copies = Counter(row.values["order_number"] for row in Notification.objects.all())
    return {
        "faults": len(sent),
        "bridge": bridge,
        "replay": replay,
        "deliver": deliver,
        "notifications": len(copies),
        "most copies": max(copies.values()),
        "inbox": InboxItem.objects.count(),
    }


if __name__ == "__main__":
    site = {
        "SPOOL_DIR": sys.argv[1],
        "CHANNELS": {"email": {"ENABLED": False}},
    }
    with override_settings(NOTIFICATIONS=site):
        print(json.dumps(story(float(sys.argv[2]))))
