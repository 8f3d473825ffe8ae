"""Notifications about swaps of shifts between residents."""

from typing import Unpack

from example_project.residency.notification_events import ResidencyEvents
from example_project.residency.service.calls import Where, send
from notifications.outcomes import SendResult


def notify_swap_requested(*, recipient_id: int, resident_name: str, shift: str, **where: Unpack[Where]) -> SendResult:
    """Notify of a request for a swap."""
    return send(
        ResidencyEvents.SWAP_REQUESTED, [recipient_id], {"resident_name": resident_name, "shift": shift}, **where
    )


def notify_swap_approved(*, recipient_id: int, resident_name: str, shift: str, **where: Unpack[Where]) -> SendResult:
    """Notify of an approved swap."""
    return send(
        ResidencyEvents.SWAP_APPROVED, [recipient_id], {"resident_name": resident_name, "shift": shift}, **where
    )


def notify_swap_rejected(
    *, recipient_id: int, resident_name: str, shift: str, reason: str | None = None, **where: Unpack[Where]
) -> SendResult:
    """Notify of a rejected swap."""
    return send(
        ResidencyEvents.SWAP_REJECTED,
        [recipient_id],
        {"resident_name": resident_name, "shift": shift, "reason": reason},
        **where,
    )


def notify_swap_matched(*, recipient_id: int, resident_name: str, shift: str, **where: Unpack[Where]) -> SendResult:
    """Notify of a resident who is willing to swap."""
    return send(ResidencyEvents.SWAP_MATCHED, [recipient_id], {"resident_name": resident_name, "shift": shift}, **where)
