"""Notifications about schedules and their changes."""

from collections.abc import Iterable
from datetime import datetime
from typing import Unpack

from example_project.residency.notification_events import ResidencyEvents
from example_project.residency.service.calls import Where, send
from notifications.outcomes import SendResult


def notify_schedule_published(
    *,
    recipient_ids: Iterable[int],
    period: str,
    coverage_rate: float,
    total_assignments: int,
    violations_count: int,
    publisher_name: str,
    **where: Unpack[Where],
) -> SendResult:
    """Notify of a published schedule. A second publication within a day is not sent."""
    context = {
        "period": period,
        "coverage_rate": coverage_rate,
        "total_assignments": total_assignments,
        "violations_count": violations_count,
        "publisher_name": publisher_name,
    }
    return send(ResidencyEvents.SCHEDULE_PUBLISHED, recipient_ids, context, **where)


def notify_schedule_conflict(
    *, recipient_id: int, person_name: str, first: str, second: str, **where: Unpack[Where]
) -> SendResult:
    """Notify of a person who is planned for two shifts at the same time."""
    context = {"person_name": person_name, "first": first, "second": second}
    return send(ResidencyEvents.SCHEDULE_CONFLICT, [recipient_id], context, **where)


def notify_assignment_changed(
    *, recipient_id: int, rotation_name: str, start_date: datetime | str, change: str, **where: Unpack[Where]
) -> SendResult:
    """Notify of a changed assignment. Changes within 15 minutes are one message."""
    context = {"rotation_name": rotation_name, "start_date": start_date, "change": change}
    return send(ResidencyEvents.ASSIGNMENT_CHANGED, [recipient_id], context, **where)
