"""Alert management. Each of the three ``_send_…_notification`` functions sends on one channel."""

from dataclasses import dataclass
from typing import Any

from django.db import transaction

from example_project.quality.notification_events import EMAIL, SLACK, WEBHOOK, QualityEvents
from example_project.quality.roles import MONITORING, QUALITY_ENGINEERS, TEAM_ROOM, role
from notifications.events import NotificationChannel
from notifications.manager import NotificationManager
from notifications.outcomes import SendResult


@dataclass(frozen=True)
class Alert:
    """An alert of a laboratory.

    :param severity: ``critical``, ``warning``, ``info`` or ``debug``; decides the order of sending.
    """

    laboratory: Any
    title: str
    severity: str
    details: str


@transaction.atomic
def trigger(alert: Alert) -> list[SendResult]:
    """Send the alert on all channels, in one transaction."""
    return [
        _send_email_notification(alert),
        _send_slack_notification(alert),
        _send_webhook_notification(alert),
    ]


def _send_email_notification(alert: Alert) -> SendResult:
    return _send(alert, role(QUALITY_ENGINEERS), EMAIL)


def _send_slack_notification(alert: Alert) -> SendResult:
    return _send(alert, TEAM_ROOM, SLACK)


def _send_webhook_notification(alert: Alert) -> SendResult:
    return _send(alert, MONITORING, WEBHOOK)


def _send(alert: Alert, recipients: Any, channel: NotificationChannel) -> SendResult:
    return NotificationManager.send(
        event_name=QualityEvents.ALERT_TRIGGERED,
        recipients=recipients,
        cluster=alert.laboratory,
        context={"title": alert.title, "severity": alert.severity, "details": alert.details},
        channels=[channel],
        level=alert.severity,
    )
