"""The events of a residency programme and their priorities."""

from datetime import date, datetime
from enum import Enum
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext

from example_project.residency.escalation import ESCALATE_CONFLICT, ESCALATE_GAP, ESCALATE_VIOLATION
from example_project.residency.windows import ABSENCES, ACGME, ASSIGNMENT, REMINDERS, SCHEDULE
from notifications.events import NotificationChannel, NotificationEvent, NotificationPriority, register

EMAIL, APP = NotificationChannel.EMAIL, NotificationChannel.APP
SMS, WEBHOOK = NotificationChannel.SMS, NotificationChannel.WEBHOOK
CRITICAL, HIGH = NotificationPriority.CRITICAL, NotificationPriority.HIGH
MEDIUM, LOW = NotificationPriority.MEDIUM, NotificationPriority.LOW


class ResidencyEvents(Enum):
    """The names of the programme's events."""

    SCHEDULE_PUBLISHED = "schedule_published"
    SCHEDULE_CONFLICT = "schedule_conflict"
    ASSIGNMENT_CHANGED = "assignment_changed"
    SWAP_REQUESTED = "swap_requested"
    SWAP_APPROVED = "swap_approved"
    SWAP_REJECTED = "swap_rejected"
    SWAP_MATCHED = "swap_matched"
    ACGME_WARNING = "acgme_warning"
    ACGME_LIMIT_NEAR = "acgme_limit_near"
    ACGME_RESOLVED = "acgme_resolved"
    RESILIENCE_WARNING = "resilience_warning"
    RESILIENCE_CRITICAL = "resilience_critical"
    RESILIENCE_RECOVERED = "resilience_recovered"
    COVERAGE_NEEDED = "coverage_needed"
    COVERAGE_SECURED = "coverage_secured"
    ABSENCE_REPORTED = "absence_reported"
    SHIFT_REMINDER_24H = "shift_reminder_24h"
    SHIFT_REMINDER_1H = "shift_reminder_1h"
    TDY_REMINDER = "tdy_reminder"
    CREDENTIAL_EXPIRING = "credential_expiring"
    EQUIPMENT_ISSUE = "equipment_issue"


def link_to_inbox(context: dict[str, Any]) -> dict[str, Any]:
    """Return the variables of the button of an email, which leads to what only the app may show."""
    return {"action_url": reverse("notifications:inbox"), "action_label": gettext("Open")}


def _declare(
    member: ResidencyEvents,
    priority: NotificationPriority,
    context: dict[str, Any],
    category: str,
    channels: tuple[NotificationChannel, ...] = (APP, EMAIL),
    **more: Any,
) -> None:
    event = NotificationEvent(
        priority=priority,
        supported_channels=channels,
        context=context,
        category=category,
        transforms={EMAIL: link_to_inbox},
        **more,
    )
    register(member, event)


def by_severity(context: dict[str, Any]) -> int:
    """Return the modifier of the score: a violation of critical severity has the highest score, 100."""
    return 5 if context["severity"].upper() == "CRITICAL" else 0


SHIFT = {"rotation_name": str, "location": str, "start_date": datetime, "duration_weeks": int}
SWAP = {"resident_name": str, "shift": str}
PRESSURE = {"unit": str, "coverage_rate": float}

PUBLISHED = {
    "period": str,
    "coverage_rate": float,
    "total_assignments": int,
    "violations_count": int,
    "publisher_name": str,
}
CHANGED = {"rotation_name": str, "start_date": datetime, "change": str}
VIOLATION = {
    "violation_type": str,
    "severity": str,
    "person_name": str,
    "violation_details": str,
    "recommended_action": str,
}
LIMIT = {"violation_type": str, "person_name": str, "hours": float, "limit": float}

E = ResidencyEvents
_declare(E.SCHEDULE_PUBLISHED, MEDIUM, PUBLISHED, "schedule", dedup_window=SCHEDULE.dedup, dedup_keys=("period",))
_declare(
    E.SCHEDULE_CONFLICT,
    HIGH,
    {"person_name": str, "first": str, "second": str},
    "schedule",
    escalation=ESCALATE_CONFLICT,
)
_declare(
    E.ASSIGNMENT_CHANGED,
    MEDIUM,
    CHANGED,
    "schedule",
    label="Changes of assignments",
    dedup_window=ASSIGNMENT.dedup,
    dedup_keys=tuple(CHANGED),
    batch_window=ASSIGNMENT.batch,
)
_declare(E.SWAP_REQUESTED, MEDIUM, SWAP, "swaps")
_declare(E.SWAP_APPROVED, MEDIUM, SWAP, "swaps")
_declare(E.SWAP_REJECTED, MEDIUM, {**SWAP, "reason": str | None}, "swaps")
_declare(E.SWAP_MATCHED, MEDIUM, SWAP, "swaps")
_declare(
    E.ACGME_WARNING,
    CRITICAL,
    VIOLATION,
    "compliance",
    (APP, EMAIL, WEBHOOK),
    label="ACGME violations",
    score=95,
    urgency=by_severity,
    limit=ACGME.limit,
    dedup_window=ACGME.dedup,
    dedup_keys=("violation_type", "person_name"),
    loggable=("violation_type", "severity"),
    escalation=ESCALATE_VIOLATION,
)
_declare(
    E.ACGME_LIMIT_NEAR,
    HIGH,
    LIMIT,
    "compliance",
    label="ACGME limits",
    limit=ACGME.limit,
    dedup_window=ACGME.dedup,
    dedup_keys=("violation_type", "person_name"),
    loggable=("violation_type",),
)
_declare(
    E.ACGME_RESOLVED,
    MEDIUM,
    {"violation_type": str, "person_name": str},
    "compliance",
    label="Resolved ACGME violations",
)
_declare(E.RESILIENCE_WARNING, HIGH, PRESSURE, "resilience")
_declare(E.RESILIENCE_CRITICAL, CRITICAL, PRESSURE, "resilience")
_declare(E.RESILIENCE_RECOVERED, LOW, PRESSURE, "resilience")
_declare(
    E.COVERAGE_NEEDED,
    CRITICAL,
    {"unit": str, "needed_from": datetime},
    "coverage",
    (APP, EMAIL, SMS),
    escalation=ESCALATE_GAP,
)
_declare(E.COVERAGE_SECURED, HIGH, {"unit": str, "covered_by": str}, "coverage")
_declare(
    E.ABSENCE_REPORTED,
    MEDIUM,
    {"person_name": str, "first_day": date, "last_day": date},
    "coverage",
    label="Absences",
    batch_window=ABSENCES.batch,
)
_declare(
    E.SHIFT_REMINDER_24H,
    MEDIUM,
    SHIFT,
    "reminders",
    (APP, EMAIL, SMS),
    label="Your shifts",
    dedup_window=REMINDERS.dedup,
    batch_window=REMINDERS.batch,
)
_declare(
    E.SHIFT_REMINDER_1H,
    HIGH,
    SHIFT,
    "reminders",
    (APP, EMAIL, SMS),
    label="Your shifts",
    dedup_window=REMINDERS.dedup,
    batch_window=REMINDERS.batch,
)
_declare(E.TDY_REMINDER, MEDIUM, {"begins_on": date, "days": int}, "reminders", label="Temporary duty")
_declare(E.CREDENTIAL_EXPIRING, LOW, {"credential": str, "expires_on": date}, "reminders")
_declare(E.EQUIPMENT_ISSUE, LOW, {"equipment": str, "problem": str}, "coverage")
