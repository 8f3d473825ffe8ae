"""Sends that repeat each other, as fast as can be."""

from collections import Counter
from enum import Enum

from notifications.events import NotificationEvent, NotificationPriority, register
from notifications.manager import NotificationManager
from notifications.recipients import Members


class Leaks(Enum):
    FOUND = "leak_found"


FOUND = NotificationEvent(
    "leak_found", NotificationPriority.CRITICAL, ["email", "app"], dedup_window=900, dedup_keys=("room",)
)


def register_leaks():
    register(Leaks.FOUND, FOUND)


def send_leak(recipients, room="cellar", **options):
    return NotificationManager.send(Leaks.FOUND, recipients, None, {"room": room}, **options)


def send_leaks(times):
    """How many of those sends to everybody reached anybody."""
    register_leaks()
    return sum(send_leak(Members(None)).queued > 0 for _ in range(times))


def send_with_keys(rooms, times):
    """How many notifications were new: the same keys, over and over."""
    register_leaks()
    told = Counter()
    for _ in range(times):
        for room in range(rooms):
            told += Counter([send_leak(Members(None), room, idempotency_key=f"leak {room}").duplicate])
    return told[False]
