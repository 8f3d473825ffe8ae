"""Notifications about the ACGME's rules on duty hours."""

from typing import Unpack

from example_project.residency.notification_events import APP, EMAIL, WEBHOOK, ResidencyEvents
from example_project.residency.service.calls import Where, send
from notifications.outcomes import SendResult
from notifications.recipients import Address, To


def notify_acgme_warning(
    *,
    recipient_id: int,
    violation_type: str,
    severity: str,
    person_name: str,
    violation_details: str,
    recommended_action: str,
    webhook: Address | None = None,
    **where: Unpack[Where],
) -> SendResult:
    """Notify of a violation of a rule. A rule and person are sent only once in four hours.

    :param webhook: a system that gets the notification too.
    """
    context = {
        "violation_type": violation_type,
        "severity": severity,
        "person_name": person_name,
        "violation_details": violation_details,
        "recommended_action": recommended_action,
    }
    others = [] if webhook is None else [To(webhook, channels=[WEBHOOK])]
    ids, channels = [recipient_id], [APP, EMAIL]
    return send(ResidencyEvents.ACGME_WARNING, ids, context, channels=channels, others=others, **where)


def notify_acgme_limit_near(
    *,
    recipient_id: int,
    violation_type: str,
    person_name: str,
    hours: float,
    limit: float,
    **where: Unpack[Where],
) -> SendResult:
    """Notify of a rule that will soon be violated."""
    context = {"violation_type": violation_type, "person_name": person_name, "hours": hours, "limit": limit}
    return send(ResidencyEvents.ACGME_LIMIT_NEAR, [recipient_id], context, **where)


def notify_acgme_resolved(
    *, recipient_id: int, violation_type: str, person_name: str, **where: Unpack[Where]
) -> SendResult:
    """Notify that a violation is resolved."""
    context = {"violation_type": violation_type, "person_name": person_name}
    return send(ResidencyEvents.ACGME_RESOLVED, [recipient_id], context, **where)
