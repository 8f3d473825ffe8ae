"""Reminders. Each expires at the time of which it reminds."""

from datetime import date, datetime, timedelta
from typing import Any, Unpack

from example_project.residency.notification_events import ResidencyEvents
from example_project.residency.service.calls import Where, parse_datetime, send
from notifications.outcomes import SendResult

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def remind_of_shift(
    *,
    recipient_id: int,
    rotation_name: str,
    location: str,
    start_date: datetime | str,
    duration_weeks: int,
    send_at: datetime | str | None = None,
    **where: Unpack[Where],
) -> SendResult:
    """Remind of a shift a day before it, or at ``send_at``. Reminders that are due already are batched for an hour."""
    starts_at = parse_datetime(start_date)
    return send(
        ResidencyEvents.SHIFT_REMINDER_24H,
        [recipient_id],
        _shift(rotation_name, location, starts_at, duration_weeks),
        send_at=parse_datetime(send_at) if send_at else starts_at - DAY,
        expires_at=starts_at,
        **where,
    )


def remind_of_shift_at_once(
    *,
    recipient_id: int,
    rotation_name: str,
    location: str,
    start_date: datetime | str,
    duration_weeks: int,
    **where: Unpack[Where],
) -> SendResult:
    """Remind of a shift an hour before it, without waiting for a batch."""
    starts_at = parse_datetime(start_date)
    return send(
        ResidencyEvents.SHIFT_REMINDER_1H,
        [recipient_id],
        _shift(rotation_name, location, starts_at, duration_weeks),
        send_at=starts_at - HOUR,
        expires_at=starts_at,
        **where,
    )


def notify_tdy_reminder(*, recipient_id: int, begins_on: date | str, days: int, **where: Unpack[Where]) -> SendResult:
    """Remind of an upcoming temporary duty elsewhere."""
    context = {"begins_on": begins_on, "days": days}
    return send(ResidencyEvents.TDY_REMINDER, [recipient_id], context, **where)


def notify_credential_expiring(
    *, recipient_id: int, credential: str, expires_on: date | str, **where: Unpack[Where]
) -> SendResult:
    """Remind of a credential that must be renewed."""
    context = {"credential": credential, "expires_on": expires_on}
    return send(ResidencyEvents.CREDENTIAL_EXPIRING, [recipient_id], context, **where)


def _shift(rotation_name: str, location: str, start_date: datetime, duration_weeks: int) -> dict[str, Any]:
    return {
        "rotation_name": rotation_name,
        "location": location,
        "start_date": start_date,
        "duration_weeks": duration_weeks,
    }
