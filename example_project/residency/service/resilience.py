"""Notifications about the load of a unit."""

from collections.abc import Iterable
from typing import Unpack

from example_project.residency.notification_events import ResidencyEvents
from example_project.residency.service.calls import Where, send
from notifications.outcomes import SendResult


def notify_resilience_warning(
    *, recipient_ids: Iterable[int], unit: str, coverage_rate: float, **where: Unpack[Where]
) -> SendResult:
    """Notify of a unit under stress."""
    context = {"unit": unit, "coverage_rate": coverage_rate}
    return send(ResidencyEvents.RESILIENCE_WARNING, recipient_ids, context, **where)


def notify_resilience_critical(
    *, recipient_ids: Iterable[int], unit: str, coverage_rate: float, **where: Unpack[Where]
) -> SendResult:
    """Notify of a unit at its limit."""
    context = {"unit": unit, "coverage_rate": coverage_rate}
    return send(ResidencyEvents.RESILIENCE_CRITICAL, recipient_ids, context, **where)


def notify_resilience_recovered(
    *, recipient_ids: Iterable[int], unit: str, coverage_rate: float, **where: Unpack[Where]
) -> SendResult:
    """Notify that a unit has enough people again."""
    context = {"unit": unit, "coverage_rate": coverage_rate}
    return send(ResidencyEvents.RESILIENCE_RECOVERED, recipient_ids, context, **where)
