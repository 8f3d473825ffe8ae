"""Rules that turn faults on the coach's bus into notifications; ``NOTIFICATIONS["CAN_RULES"]`` names :func:`rules`."""

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError

from example_project.coach.notification_events import CoachEvents
from notifications.can.faults import FaultChange
from notifications.can.sends import Send
from notifications.models import get_cluster_model
from notifications.recipients import Members

# Default source addresses of RV-C. There are many more; others are shown as numbers.
DEVICES = {68: "control panel", 88: "main thermostat", 94: "main furnace", 101: "water heater"}

KNOWN: dict[str, Any] = {}


def rules(change: FaultChange) -> Iterator[Send]:
    """Yield a notification to all members of the coach. A fault that comes and goes is announced only once."""
    if change.kind == "flapping":
        return
    coach = get_coach(getattr(settings, "COACH_SLUG", "coach"))
    # A fault and its end have the same correlation id, so the log shows them together.
    options = {"correlation_id": change.correlation_id}
    yield Send(event_for(change), Members(coach), coach, context_of(change), options)


def get_coach(slug: str) -> Any:
    """Return the coach with this slug.

    While the database is away, faults are spooled, so the coach that was loaded last is returned.
    """
    try:
        KNOWN[slug] = get_cluster_model()._default_manager.get(slug=slug)
    except (OperationalError, InterfaceError):
        if slug not in KNOWN:
            raise
    return KNOWN[slug]


def event_for(change: FaultChange) -> CoachEvents:
    """Return the event for a change of a fault."""
    if change.kind == "cleared":
        return CoachEvents.COACH_FAULT_CLEARED
    return CoachEvents.COACH_FAULT_CRITICAL if "red" in change.lamps else CoachEvents.COACH_FAULT_WARNING


def context_of(change: FaultChange) -> dict[str, Any]:
    """Return the context of the notification."""
    return {
        "device": device_name(change.dsa),
        "problem": change.problem,
        "instance": change.instance,
        "spn": change.spn,
        "fmi": change.fmi,
        "lamps": list(change.lamps),
        "count": change.count,
        "at": change.at,
    }


def device_name(dsa: int) -> str:
    """Return the name of the device with this default source address."""
    return DEVICES.get(dsa, f"device 0x{dsa:02X}")
