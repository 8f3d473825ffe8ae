"""The events of a test laboratory: test runs, health checks, quality metrics and alerts."""

from enum import Enum

from notifications.events import NotificationChannel, NotificationEvent, NotificationPriority, register

EMAIL, WEBSOCKET, APP = NotificationChannel.EMAIL, NotificationChannel.WEBSOCKET, NotificationChannel.APP
SLACK, WEBHOOK = NotificationChannel.SLACK, NotificationChannel.WEBHOOK


class QualityEvents(Enum):
    """The names of the laboratory's events."""

    EXECUTION_COMPLETED = "execution_completed"
    HEALTH_CHECK_FAILED = "health_check_failed"
    QUALITY_THRESHOLD_EXCEEDED = "quality_threshold_exceeded"
    ALERT_TRIGGERED = "alert_triggered"


register(
    QualityEvents.EXECUTION_COMPLETED,
    NotificationEvent(
        priority=NotificationPriority.MEDIUM,
        supported_channels=[EMAIL, WEBSOCKET],
        context={"suite": str, "passed": int, "failed": int, "seconds": float},
        category="executions",
        loggable=("suite", "passed", "failed"),
    ),
)
register(
    QualityEvents.HEALTH_CHECK_FAILED,
    NotificationEvent(
        # This email is urgent: it ignores quiet hours and opt-outs.
        priority=NotificationPriority.CRITICAL,
        supported_channels=[EMAIL, WEBHOOK],
        context={"component": str, "problem": str},
        category="health",
        loggable=("component",),
    ),
)
register(
    QualityEvents.QUALITY_THRESHOLD_EXCEEDED,
    NotificationEvent(
        priority=NotificationPriority.MEDIUM,
        supported_channels=[EMAIL, APP],
        context={"metric": str, "value": float, "threshold": float},
        category="metrics",
        loggable=("metric", "value", "threshold"),
    ),
)
register(
    QualityEvents.ALERT_TRIGGERED,
    NotificationEvent(
        priority=NotificationPriority.HIGH,
        supported_channels=[EMAIL, SLACK, WEBHOOK],
        context={"title": str, "severity": str, "details": str},
        category="alerts",
        loggable=("title", "severity"),
    ),
)
