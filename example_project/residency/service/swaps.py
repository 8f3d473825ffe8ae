"""Residents who swap shifts."""

from typing import Any

from example_project.residency.notification_events import ResidencyEvents
from notifications.manager import NotificationManager
from notifications.models import Cluster
from notifications.outcomes import SendResult


def notify_swap_requested(program: Cluster, recipients: Any, *, resident_name: str, shift: str) -> SendResult:
    """Somebody asks for a swap."""
    return _tell(ResidencyEvents.SWAP_REQUESTED, program, recipients, resident_name, shift)


def notify_swap_approved(program: Cluster, recipients: Any, *, resident_name: str, shift: str) -> SendResult:
    """A swap may be made."""
    return _tell(ResidencyEvents.SWAP_APPROVED, program, recipients, resident_name, shift)


def notify_swap_rejected(
    program: Cluster, recipients: Any, *, resident_name: str, shift: str, reason: str | None = None
) -> SendResult:
    """A swap may not be made."""
    return _tell(ResidencyEvents.SWAP_REJECTED, program, recipients, resident_name, shift, reason=reason)


def notify_swap_matched(program: Cluster, recipients: Any, *, resident_name: str, shift: str) -> SendResult:
    """Somebody was found who would swap."""
    return _tell(ResidencyEvents.SWAP_MATCHED, program, recipients, resident_name, shift)


def _tell(
    event: ResidencyEvents, program: Cluster, recipients: Any, resident_name: str, shift: str, **more: Any
) -> SendResult:
    context = {"resident_name": resident_name, "shift": shift, **more}
    return NotificationManager.send(event, recipients, program, context)
