"""The rules of the ACGME on duty hours: broken, nearly broken, kept again."""

from typing import Any

from example_project.residency.notification_events import APP, EMAIL, WEBHOOK, ResidencyEvents
from notifications.manager import NotificationManager
from notifications.models import Cluster
from notifications.outcomes import SendResult
from notifications.recipients import Address, To


def notify_acgme_warning(
    program: Cluster,
    recipients: Any,
    *,
    violation_type: str,
    severity: str,
    person_name: str,
    violation_details: str,
    recommended_action: str,
    webhook: Address | None = None,
) -> SendResult:
    """A rule is broken. The same rule and person are told once in four hours.

    :param webhook: a system that is to know it too.
    """
    context = {
        "violation_type": violation_type,
        "severity": severity,
        "person_name": person_name,
        "violation_details": violation_details,
        "recommended_action": recommended_action,
    }
    everyone = [To(recipients, channels=[APP, EMAIL])]
    if webhook is not None:
        everyone.append(To(webhook, channels=[WEBHOOK]))
    return NotificationManager.send(ResidencyEvents.ACGME_WARNING, everyone, program, context)


def notify_acgme_limit_near(
    program: Cluster, recipients: Any, *, violation_type: str, person_name: str, hours: float, limit: float
) -> SendResult:
    """A rule will soon be broken."""
    context = {"violation_type": violation_type, "person_name": person_name, "hours": hours, "limit": limit}
    return NotificationManager.send(ResidencyEvents.ACGME_LIMIT_NEAR, recipients, program, context)


def notify_acgme_resolved(program: Cluster, recipients: Any, *, violation_type: str, person_name: str) -> SendResult:
    """A rule is kept again."""
    context = {"violation_type": violation_type, "person_name": person_name}
    return NotificationManager.send(ResidencyEvents.ACGME_RESOLVED, recipients, program, context)
