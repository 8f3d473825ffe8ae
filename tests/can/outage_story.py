"""A live bridge that survives an outage of its database: ``python -m tests.can.outage_story``.

It is a separate process, because its caller stops and starts the database server. It prints when the vehicle starts to
send frames and, at the end, the results as JSON.
"""

import json
import os
import signal
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
from tests.can.vehicle import fault  # noqa: E402

CHANNEL = "klaxon-outage"
SETTLE_SECONDS = 90.0


class Coach:
    """The objects that the rules need, loaded once."""

    cluster: Cluster


@can_rule
def notify(change: FaultChange) -> list[Send]:
    cluster = Coach.cluster
    return [Send("order_shipped", Members(cluster), cluster, {"order_number": change.correlation_id, "eta": None})]


def vehicle(sent: list[int], complete: threading.Event, stopped: threading.Event) -> None:
    """Send a new fault every 300 ms, each of another device, and the earlier ones again, until it is stopped."""
    with can.Bus(interface="virtual", channel=CHANNEL) as node:
        while not stopped.wait(0.3):
            if not complete.is_set():
                sent.append(len(sent))
            for number in sent:
                data = bytes.fromhex(fault(number))
                node.send(can.Message(arbitration_id=0x19FECA00 | number % 128, data=data, is_extended_id=True))


def stop_later(sent: list[int], complete: threading.Event, stopped: threading.Event) -> None:
    """When the caller says that the server is up again, let no other fault begin. Stop the bridge at the end."""
    sys.stdin.readline()
    complete.set()
    ends_at = time.monotonic() + SETTLE_SECONDS
    while Notification.objects.count() < len(sent) and time.monotonic() < ends_at:
        time.sleep(0.2)
    connection.close()
    stopped.set()
    os.kill(os.getpid(), signal.SIGTERM)


def run_command(command: str, **options: object) -> str:
    out = StringIO()
    call_command(command, stdout=out, **options)
    return out.getvalue().splitlines()[-1]


def story() -> dict[str, object]:
    call_command("migrate", verbosity=0)
    Coach.cluster = Cluster.objects.create(name="Coach", slug="coach", open_to_all=True)
    User.objects.create(username="driver")
    sent: list[int] = []
    complete, stopped = threading.Event(), threading.Event()
    threads = [
        threading.Timer(0.5, vehicle, (sent, complete, stopped)),
        threading.Thread(target=stop_later, args=(sent, complete, stopped)),
    ]
    for thread in threads:
        thread.start()
    print("The vehicle sends frames.", flush=True)
    bridge = run_command("bridge_can", interface="virtual", channel=CHANNEL)
    for thread in threads:
        thread.join()
    connection.close()  # as in a new process: the bridge may have kept a connection that is lost
    deliver = run_command("dispatch_notifications")
    copies = Counter(row.values["order_number"] for row in Notification.objects.all())
    return {
        "faults": len(sent),
        "bridge": bridge,
        "deliver": deliver,
        "notifications": len(copies),
        "most copies": max(copies.values()),
        "inbox": InboxItem.objects.count(),
    }


if __name__ == "__main__":
    site = {
        "CHANNELS": {"email": {"ENABLED": False}},
    }
    with override_settings(NOTIFICATIONS=site):
        print(json.dumps(story()))
