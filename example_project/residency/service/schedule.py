"""Schedules and what changes in them."""

from datetime import datetime
from typing import Any

from example_project.residency.notification_events import ResidencyEvents
from notifications.manager import NotificationManager
from notifications.models import Cluster
from notifications.outcomes import SendResult


def notify_schedule_published(
    program: Cluster,
    recipients: Any,
    *,
    period: str,
    coverage_rate: float,
    total_assignments: int,
    violations_count: int,
    publisher_name: str,
) -> SendResult:
    """A schedule can be looked at. Published again within a day, it is not told again."""
    context = {
        "period": period,
        "coverage_rate": coverage_rate,
        "total_assignments": total_assignments,
        "violations_count": violations_count,
        "publisher_name": publisher_name,
    }
    return NotificationManager.send(ResidencyEvents.SCHEDULE_PUBLISHED, recipients, program, context)


def notify_schedule_conflict(
    program: Cluster, recipients: Any, *, person_name: str, first: str, second: str
) -> SendResult:
    """Somebody is planned for two things at the same time."""
    context = {"person_name": person_name, "first": first, "second": second}
    return NotificationManager.send(ResidencyEvents.SCHEDULE_CONFLICT, recipients, program, context)


def notify_assignment_changed(
    program: Cluster, recipients: Any, *, rotation_name: str, start_date: datetime, change: str
) -> SendResult:
    """What a resident was planned for has changed. Five changes in a quarter of an hour come as one message."""
    context = {"rotation_name": rotation_name, "start_date": start_date, "change": change}
    return NotificationManager.send(ResidencyEvents.ASSIGNMENT_CHANGED, recipients, program, context)
