"""Events with a deduplication window, and calls that send them."""

from enum import Enum

from notifications.events import NotificationPriority
from notifications.manager import NotificationManager

MEDIUM, CRITICAL = NotificationPriority.MEDIUM, NotificationPriority.CRITICAL


class Alarms(Enum):
    SMOKE = "smoke"
    WATER = "water"


def send(recipients, room="hall", event=Alarms.SMOKE, cluster=None, **options):
    return NotificationManager.send(event, recipients, cluster, {"room": room, "seen": 1}, **options)


def figures(result):
    return result.queued, dict(result.reasons)


SERVED, DROPPED = (2, {}), (0, {"duplicate": 2})
