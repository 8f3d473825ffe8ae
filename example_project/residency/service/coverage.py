"""Notifications about coverage, absences and equipment."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Unpack

from example_project.residency.notification_events import ResidencyEvents
from example_project.residency.service.calls import Where, send
from notifications.outcomes import SendResult


def notify_coverage_needed(
    *, recipient_ids: Iterable[int], unit: str, needed_from: datetime | str, **where: Unpack[Where]
) -> SendResult:
    """Notify of a unit that nobody covers, which is an emergency."""
    context = {"unit": unit, "needed_from": needed_from}
    return send(ResidencyEvents.COVERAGE_NEEDED, recipient_ids, context, **where)


def notify_coverage_secured(
    *, recipient_ids: Iterable[int], unit: str, covered_by: str, **where: Unpack[Where]
) -> SendResult:
    """Notify that a unit is covered again."""
    context = {"unit": unit, "covered_by": covered_by}
    return send(ResidencyEvents.COVERAGE_SECURED, recipient_ids, context, **where)


def notify_absence_reported(
    *, recipient_id: int, person_name: str, first_day: date | str, last_day: date | str, **where: Unpack[Where]
) -> SendResult:
    """Notify of an absence. Absences within 30 minutes are one message."""
    context = {"person_name": person_name, "first_day": first_day, "last_day": last_day}
    return send(ResidencyEvents.ABSENCE_REPORTED, [recipient_id], context, **where)


def notify_equipment_issue(
    *, recipient_ids: Iterable[int], equipment: str, problem: str, **where: Unpack[Where]
) -> SendResult:
    """Notify of broken equipment, with the priority LOW."""
    context = {"equipment": equipment, "problem": problem}
    return send(ResidencyEvents.EQUIPMENT_ISSUE, recipient_ids, context, **where)
