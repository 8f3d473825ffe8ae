"""The events of a coach (a motorhome with an RV-C bus) and their priorities."""

from datetime import datetime
from enum import Enum
from typing import Any

from example_project.coach.limits import REPEATS
from notifications.events import NotificationChannel, NotificationEvent, NotificationPriority, register

EMAIL, APP = NotificationChannel.EMAIL, NotificationChannel.APP

FAULT = {
    "device": str,
    "part": str,
    "problem": str,
    "instance": int | None,
    "spn": int,
    "fmi": int,
    "lamps": list[str],
    "count": int | None,
    "at": datetime,
}
ALERT = {"problem": str, "bus": str, "at": datetime}
FLOOD = {"text": str, "bus": str, "count": int, "source_count": int, "at": datetime}
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
    COACH_FAULT_FLOOD = "coach_fault_flood"
    COACH_GAS_LEAK = "coach_gas_leak"
    COACH_BATTERY_LOW = "coach_battery_low"
    COACH_TANK_FULL = "coach_tank_full"
    COACH_DEVICE_SILENT = "coach_device_silent"
    COACH_BUS_SILENT = "coach_bus_silent"
    COACH_ALL_CLEAR = "coach_all_clear"


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
register(
    CoachEvents.COACH_FAULT_FLOOD,
    NotificationEvent(
        priority=NotificationPriority.MEDIUM,
        supported_channels=[EMAIL, APP],
        context=FLOOD,
        category="maintenance",
        loggable=("bus", "count", "at"),
    ),
)


def register_alert(
    event: CoachEvents,
    priority: NotificationPriority,
    category: str,
    channels: tuple[NotificationChannel, ...] = (EMAIL, APP),
) -> None:
    """Register an event of the rule file. The bridge sends each alert once, so the event needs no deduplication."""
    register(
        event,
        NotificationEvent(
            priority=priority,
            supported_channels=list(channels),
            context=ALERT,
            category=category,
            loggable=("problem", "bus", "at"),
        ),
    )


register_alert(CoachEvents.COACH_GAS_LEAK, NotificationPriority.CRITICAL, "safety")
register_alert(CoachEvents.COACH_BATTERY_LOW, NotificationPriority.HIGH, "comfort")
register_alert(CoachEvents.COACH_TANK_FULL, NotificationPriority.MEDIUM, "comfort", (APP,))
register_alert(CoachEvents.COACH_DEVICE_SILENT, NotificationPriority.HIGH, "maintenance")
register_alert(CoachEvents.COACH_BUS_SILENT, NotificationPriority.HIGH, "maintenance")
register_alert(CoachEvents.COACH_ALL_CLEAR, NotificationPriority.LOW, "comfort", (APP,))
