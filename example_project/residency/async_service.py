"""Async versions of the functions of the service, with the same names and arguments."""

from asgiref.sync import sync_to_async

from example_project.residency import service

notify_absence_reported = sync_to_async(service.notify_absence_reported)
notify_acgme_limit_near = sync_to_async(service.notify_acgme_limit_near)
notify_acgme_resolved = sync_to_async(service.notify_acgme_resolved)
notify_acgme_warning = sync_to_async(service.notify_acgme_warning)
notify_assignment_changed = sync_to_async(service.notify_assignment_changed)
notify_coverage_needed = sync_to_async(service.notify_coverage_needed)
notify_coverage_secured = sync_to_async(service.notify_coverage_secured)
notify_credential_expiring = sync_to_async(service.notify_credential_expiring)
notify_equipment_issue = sync_to_async(service.notify_equipment_issue)
notify_resilience_critical = sync_to_async(service.notify_resilience_critical)
notify_resilience_recovered = sync_to_async(service.notify_resilience_recovered)
notify_resilience_warning = sync_to_async(service.notify_resilience_warning)
notify_schedule_conflict = sync_to_async(service.notify_schedule_conflict)
notify_schedule_published = sync_to_async(service.notify_schedule_published)
notify_swap_approved = sync_to_async(service.notify_swap_approved)
notify_swap_matched = sync_to_async(service.notify_swap_matched)
notify_swap_rejected = sync_to_async(service.notify_swap_rejected)
notify_swap_requested = sync_to_async(service.notify_swap_requested)
notify_tdy_reminder = sync_to_async(service.notify_tdy_reminder)
remind_of_shift = sync_to_async(service.remind_of_shift)
remind_of_shift_at_once = sync_to_async(service.remind_of_shift_at_once)
update_preferences = sync_to_async(service.update_preferences)
