"""How much a unit can bear."""

from collections.abc import Iterable
from typing import Unpack

from example_project.residency.notification_events import ResidencyEvents
from example_project.residency.service.calls import Where, send
from notifications.outcomes import SendResult


def notify_resilience_warning(
    *, recipient_ids: Iterable[int], unit: str, coverage_rate: float, **where: Unpack[Where]
) -> SendResult:
    """A unit is under stress."""
    context = {"unit": unit, "coverage_rate": coverage_rate}
    return send(ResidencyEvents.RESILIENCE_WARNING, recipient_ids, context, **where)


def notify_resilience_critical(
    *, recipient_ids: Iterable[int], unit: str, coverage_rate: float, **where: Unpack[Where]
) -> SendResult:
    """A unit cannot go on like this."""
    context = {"unit": unit, "coverage_rate": coverage_rate}
    return send(ResidencyEvents.RESILIENCE_CRITICAL, recipient_ids, context, **where)


def notify_resilience_recovered(
    *, recipient_ids: Iterable[int], unit: str, coverage_rate: float, **where: Unpack[Where]
) -> SendResult:
    """A unit has enough people again."""
    context = {"unit": unit, "coverage_rate": coverage_rate}
    return send(ResidencyEvents.RESILIENCE_RECOVERED, recipient_ids, context, **where)
