"""The events of a coach (a motorhome with an RV-C bus) and their priorities."""

from datetime import datetime
from enum import Enum
from typing import Any

from example_project.coach.limits import REPEATS
from notifications.events import NotificationChannel, NotificationEvent, NotificationPriority, register

EMAIL, APP = NotificationChannel.EMAIL, NotificationChannel.APP

FAULT = {
    "device": str,
    "problem": str,
    "instance": int | None,
    "spn": int,
    "fmi": int,
    "lamps": list[str],
    "count": int | None,
    "at": datetime,
}
LOGGABLE = ("device", "spn", "fmi", "at")
DEDUP_KEYS = ("device", "instance", "spn", "fmi")


def by_lamps(context: dict[str, Any]) -> int:
    """Return the modifier of the score: faults that light a lamp are sent before others."""
    return 5 * len(context["lamps"])


class CoachEvents(Enum):
    """The names of the coach's events."""

    COACH_FAULT_CRITICAL = "coach_fault_critical"
    COACH_FAULT_WARNING = "coach_fault_warning"
    COACH_FAULT_CLEARED = "coach_fault_cleared"


register(
    CoachEvents.COACH_FAULT_CRITICAL,
    NotificationEvent(
        priority=NotificationPriority.CRITICAL,
        supported_channels=[EMAIL, APP],
        context=FAULT,
        category="safety",
        loggable=LOGGABLE,
        dedup_window=REPEATS,
        dedup_keys=DEDUP_KEYS,
    ),
)
register(
    CoachEvents.COACH_FAULT_WARNING,
    NotificationEvent(
        priority=NotificationPriority.HIGH,
        supported_channels=[EMAIL, APP],
        context=FAULT,
        category="maintenance",
        loggable=LOGGABLE,
        dedup_window=REPEATS,
        dedup_keys=DEDUP_KEYS,
        urgency=by_lamps,
    ),
)
register(
    CoachEvents.COACH_FAULT_CLEARED,
    NotificationEvent(
        priority=NotificationPriority.LOW,
        supported_channels=[APP],
        context=FAULT,
        category="maintenance",
        loggable=LOGGABLE,
        dedup_window=REPEATS,
        dedup_keys=DEDUP_KEYS,
    ),
)
