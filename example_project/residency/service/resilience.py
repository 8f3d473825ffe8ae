"""How much a unit can bear."""

from typing import Any

from example_project.residency.notification_events import ResidencyEvents
from notifications.manager import NotificationManager
from notifications.models import Cluster
from notifications.outcomes import SendResult


def notify_resilience_warning(program: Cluster, recipients: Any, *, unit: str, coverage_rate: float) -> SendResult:
    """A unit is under stress."""
    return _tell(ResidencyEvents.RESILIENCE_WARNING, program, recipients, unit, coverage_rate)


def notify_resilience_critical(program: Cluster, recipients: Any, *, unit: str, coverage_rate: float) -> SendResult:
    """A unit cannot go on like this."""
    return _tell(ResidencyEvents.RESILIENCE_CRITICAL, program, recipients, unit, coverage_rate)


def notify_resilience_recovered(program: Cluster, recipients: Any, *, unit: str, coverage_rate: float) -> SendResult:
    """A unit has enough people again."""
    return _tell(ResidencyEvents.RESILIENCE_RECOVERED, program, recipients, unit, coverage_rate)


def _tell(event: ResidencyEvents, program: Cluster, recipients: Any, unit: str, coverage_rate: float) -> SendResult:
    context = {"unit": unit, "coverage_rate": coverage_rate}
    return NotificationManager.send(event, recipients, program, context)
