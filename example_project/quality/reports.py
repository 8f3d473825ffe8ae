"""The three reports of the laboratory, each with its recipients and their channels."""

from typing import Any

from django.contrib.auth.models import User

from example_project.quality.notification_events import APP, EMAIL, WEBHOOK, WEBSOCKET, QualityEvents
from example_project.quality.roles import (
    MONITORING,
    PROJECT_MANAGERS,
    QUALITY_ENGINEERS,
    SYSTEM_ADMINISTRATORS,
    role,
    runs_of,
)
from notifications.manager import NotificationManager
from notifications.outcomes import SendResult
from notifications.recipients import To


def execution_completed(
    laboratory: Any, creator: User, *, suite: str, passed: int, failed: int, seconds: float
) -> SendResult:
    """Send an email to the creator of the test and a live message to subscribers of the suite."""
    return NotificationManager.send(
        event_name=QualityEvents.EXECUTION_COMPLETED,
        recipients=[To(creator, channels=[EMAIL]), To(runs_of(suite), channels=[WEBSOCKET])],
        cluster=laboratory,
        context={"suite": suite, "passed": passed, "failed": failed, "seconds": seconds},
    )


def health_check_failed(laboratory: Any, *, component: str, problem: str) -> SendResult:
    """Send an urgent email to every system administrator and a webhook to the monitoring system."""
    return NotificationManager.send(
        event_name=QualityEvents.HEALTH_CHECK_FAILED,
        recipients=[To(role(SYSTEM_ADMINISTRATORS), channels=[EMAIL]), To(MONITORING, channels=[WEBHOOK])],
        cluster=laboratory,
        context={"component": component, "problem": problem},
    )


def quality_threshold_exceeded(laboratory: Any, *, metric: str, value: float, threshold: float) -> SendResult:
    """Notify quality engineers and project managers by email and in the app."""
    return NotificationManager.send(
        event_name=QualityEvents.QUALITY_THRESHOLD_EXCEEDED,
        recipients=role(QUALITY_ENGINEERS, PROJECT_MANAGERS),
        cluster=laboratory,
        context={"metric": metric, "value": value, "threshold": threshold},
        channels=[EMAIL, APP],
    )
