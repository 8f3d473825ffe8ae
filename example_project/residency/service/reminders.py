"""Reminders. Each is worth nothing once its time has come, so it expires then."""

from datetime import date, datetime, timedelta
from typing import Any

from example_project.residency.notification_events import ResidencyEvents
from notifications.manager import NotificationManager
from notifications.models import Cluster
from notifications.outcomes import SendResult

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def remind_of_shift(
    program: Cluster,
    recipients: Any,
    *,
    rotation_name: str,
    location: str,
    start_date: datetime,
    duration_weeks: int,
    send_at: datetime | None = None,
) -> SendResult:
    """A day before a shift, unless told otherwise. Reminders whose time has passed wait an hour for one another."""
    context = _shift(rotation_name, location, start_date, duration_weeks)
    return NotificationManager.send(
        ResidencyEvents.SHIFT_REMINDER_24H,
        recipients,
        program,
        context,
        send_at=send_at or start_date - DAY,
        expires_at=start_date,
    )


def remind_of_shift_at_once(
    program: Cluster,
    recipients: Any,
    *,
    rotation_name: str,
    location: str,
    start_date: datetime,
    duration_weeks: int,
) -> SendResult:
    """An hour before a shift. It waits for no others, for they would come too late."""
    context = _shift(rotation_name, location, start_date, duration_weeks)
    return NotificationManager.send(
        ResidencyEvents.SHIFT_REMINDER_1H,
        recipients,
        program,
        context,
        send_at=start_date - HOUR,
        expires_at=start_date,
    )


def notify_tdy_reminder(program: Cluster, recipients: Any, *, begins_on: date, days: int) -> SendResult:
    """A temporary duty elsewhere is to come."""
    context = {"begins_on": begins_on, "days": days}
    return NotificationManager.send(ResidencyEvents.TDY_REMINDER, recipients, program, context)


def notify_credential_expiring(program: Cluster, recipients: Any, *, credential: str, expires_on: date) -> SendResult:
    """A credential must be renewed."""
    context = {"credential": credential, "expires_on": expires_on}
    return NotificationManager.send(ResidencyEvents.CREDENTIAL_EXPIRING, recipients, program, context)


def _shift(rotation_name: str, location: str, start_date: datetime, duration_weeks: int) -> dict[str, Any]:
    return {
        "rotation_name": rotation_name,
        "location": location,
        "start_date": start_date,
        "duration_weeks": duration_weeks,
    }
