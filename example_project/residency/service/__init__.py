"""A typed function for each notification of the programme."""

from example_project.residency.service.compliance import (
    notify_acgme_limit_near,
    notify_acgme_resolved,
    notify_acgme_warning,
)
from example_project.residency.service.coverage import (
    notify_absence_reported,
    notify_coverage_needed,
    notify_coverage_secured,
    notify_equipment_issue,
)
from example_project.residency.service.notification_service import NotificationService
from example_project.residency.service.preferences import update_preferences
from example_project.residency.service.reminders import (
    notify_credential_expiring,
    notify_tdy_reminder,
    remind_of_shift,
    remind_of_shift_at_once,
)
from example_project.residency.service.resilience import (
    notify_resilience_critical,
    notify_resilience_recovered,
    notify_resilience_warning,
)
from example_project.residency.service.schedule import (
    notify_assignment_changed,
    notify_schedule_conflict,
    notify_schedule_published,
)
from example_project.residency.service.swaps import (
    notify_swap_approved,
    notify_swap_matched,
    notify_swap_rejected,
    notify_swap_requested,
)

__all__ = [
    "NotificationService",
    "notify_absence_reported",
    "notify_acgme_limit_near",
    "notify_acgme_resolved",
    "notify_acgme_warning",
    "notify_assignment_changed",
    "notify_coverage_needed",
    "notify_coverage_secured",
    "notify_credential_expiring",
    "notify_equipment_issue",
    "notify_resilience_critical",
    "notify_resilience_recovered",
    "notify_resilience_warning",
    "notify_schedule_conflict",
    "notify_schedule_published",
    "notify_swap_approved",
    "notify_swap_matched",
    "notify_swap_rejected",
    "notify_swap_requested",
    "notify_tdy_reminder",
    "remind_of_shift",
    "remind_of_shift_at_once",
    "update_preferences",
]
