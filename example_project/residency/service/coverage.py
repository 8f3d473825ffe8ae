"""Who is there, who is not, and what is broken."""

from datetime import date, datetime
from typing import Any

from example_project.residency.notification_events import ResidencyEvents
from notifications.manager import NotificationManager
from notifications.models import Cluster
from notifications.outcomes import SendResult


def notify_coverage_needed(program: Cluster, recipients: Any, *, unit: str, needed_from: datetime) -> SendResult:
    """Nobody is there: an emergency."""
    context = {"unit": unit, "needed_from": needed_from}
    return NotificationManager.send(ResidencyEvents.COVERAGE_NEEDED, recipients, program, context)


def notify_coverage_secured(program: Cluster, recipients: Any, *, unit: str, covered_by: str) -> SendResult:
    """Somebody is there again."""
    context = {"unit": unit, "covered_by": covered_by}
    return NotificationManager.send(ResidencyEvents.COVERAGE_SECURED, recipients, program, context)


def notify_absence_reported(
    program: Cluster, recipients: Any, *, person_name: str, first_day: date, last_day: date
) -> SendResult:
    """Somebody will be away. Those of half an hour come as one message."""
    context = {"person_name": person_name, "first_day": first_day, "last_day": last_day}
    return NotificationManager.send(ResidencyEvents.ABSENCE_REPORTED, recipients, program, context)


def notify_equipment_issue(program: Cluster, recipients: Any, *, equipment: str, problem: str) -> SendResult:
    """Something is broken, and can wait."""
    context = {"equipment": equipment, "problem": problem}
    return NotificationManager.send(ResidencyEvents.EQUIPMENT_ISSUE, recipients, program, context)
