"""Sends that repeat each other, as fast as can be."""

import time
from collections import Counter
from enum import Enum

from notifications.events import NotificationEvent, NotificationPriority, register
from notifications.manager import NotificationManager
from notifications.recipients import Members

BEAT = 0.25


class Leaks(Enum):
    FOUND = "leak_found"


FOUND = NotificationEvent(
    "leak_found", NotificationPriority.CRITICAL, ["email", "app"], dedup_window=900, dedup_keys=("room",)
)


def register_leaks():
    register(Leaks.FOUND, FOUND)


def send_leak(recipients, room="cellar", **options):
    return NotificationManager.send(Leaks.FOUND, recipients, None, {"room": room}, **options)


def send_leaks(rooms, began):
    """How many of those sends to everybody reached anybody: of each room at a beat that all have, and once more."""
    register_leaks()
    reached = 0
    for room in range(rooms):
        # Else whoever has just served one room has a head start in the next, and nobody races them.
        time.sleep(max(0, began + (room + 1) * BEAT - time.time()))
        reached += send_leak(Members(None), room).queued > 0
    return reached + sum(send_leak(Members(None), room).queued > 0 for room in range(rooms))


def send_with_keys(rooms, times):
    """How many notifications were new: the same keys, over and over."""
    register_leaks()
    told = Counter()
    for _ in range(times):
        for room in range(rooms):
            told += Counter([send_leak(Members(None), room, idempotency_key=f"leak {room}").duplicate])
    return told[False]
