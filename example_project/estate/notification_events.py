"""The events of a housing estate and their priorities."""

from datetime import date, datetime
from decimal import Decimal
from enum import Enum

from example_project.estate import transforms
from notifications.events import NOTIFICATION_EVENTS, NotificationChannel, NotificationEvent, NotificationPriority


class NotificationEvents(Enum):
    """The names of the estate's events. A misspelt member is an error."""

    EMERGENCY_ALERT = "emergency_alert"
    SECURITY_BREACH = "security_breach"
    VISITOR_ARRIVAL = "visitor_arrival"
    MAINTENANCE_URGENT = "maintenance_urgent"
    PAYMENT_DUE = "payment_due"
    ANNOUNCEMENT_POSTED = "announcement_posted"
    COMMENT_REPLY = "comment_reply"
    NEWSLETTER = "newsletter"
    MAINTENANCE_COMPLETE = "maintenance_complete"


NOTIFICATION_EVENTS[NotificationEvents.EMERGENCY_ALERT] = NotificationEvent(
    name=NotificationEvents.EMERGENCY_ALERT.value,
    priority=NotificationPriority.CRITICAL,
    supported_channels=[NotificationChannel.EMAIL, NotificationChannel.SMS, NotificationChannel.WEBSOCKET],
    context={"alert_message": str, "location": str, "severity": str},
    category="safety",
    loggable=("location", "severity"),
)
NOTIFICATION_EVENTS[NotificationEvents.SECURITY_BREACH] = NotificationEvent(
    name=NotificationEvents.SECURITY_BREACH.value,
    priority=NotificationPriority.CRITICAL,
    supported_channels=[NotificationChannel.EMAIL, NotificationChannel.SMS],
    context={"alert_message": str, "location": str},
    category="safety",
    loggable=("location",),
)
NOTIFICATION_EVENTS[NotificationEvents.VISITOR_ARRIVAL] = NotificationEvent(
    name=NotificationEvents.VISITOR_ARRIVAL.value,
    priority=NotificationPriority.HIGH,
    supported_channels=[NotificationChannel.EMAIL, NotificationChannel.WEBSOCKET],
    context={"visitor_name": str, "arrival_time": datetime, "unit": str | None, "access_code": str | None},
    category="visitors",
    loggable=("unit", "arrival_time"),
    transforms={NotificationChannel.EMAIL: transforms.visitor_for_email},
)
NOTIFICATION_EVENTS[NotificationEvents.MAINTENANCE_URGENT] = NotificationEvent(
    name=NotificationEvents.MAINTENANCE_URGENT.value,
    priority=NotificationPriority.HIGH,
    supported_channels=[NotificationChannel.EMAIL],
    context={"work_order": str, "problem": str, "location": str},
    category="maintenance",
    loggable=("work_order",),
)
NOTIFICATION_EVENTS[NotificationEvents.PAYMENT_DUE] = NotificationEvent(
    name=NotificationEvents.PAYMENT_DUE.value,
    priority=NotificationPriority.MEDIUM,
    supported_channels=[NotificationChannel.EMAIL],
    context={"amount": Decimal | float, "due_date": date | datetime, "bill_number": str, "currency": str | None},
    category="billing",
    loggable=("bill_number",),
    transforms={
        NotificationChannel.EMAIL: transforms.payment_for_email,
        NotificationChannel.SMS: transforms.payment_for_sms,
    },
)
NOTIFICATION_EVENTS[NotificationEvents.ANNOUNCEMENT_POSTED] = NotificationEvent(
    name=NotificationEvents.ANNOUNCEMENT_POSTED.value,
    priority=NotificationPriority.MEDIUM,
    supported_channels=[NotificationChannel.EMAIL],
    context={"title": str, "text": str},
    category="community",
)
NOTIFICATION_EVENTS[NotificationEvents.COMMENT_REPLY] = NotificationEvent(
    name=NotificationEvents.COMMENT_REPLY.value,
    priority=NotificationPriority.LOW,
    supported_channels=[NotificationChannel.EMAIL],
    context={"author": str, "text": str},
    category="community",
)
NOTIFICATION_EVENTS[NotificationEvents.NEWSLETTER] = NotificationEvent(
    name=NotificationEvents.NEWSLETTER.value,
    priority=NotificationPriority.LOW,
    supported_channels=[NotificationChannel.EMAIL],
    context={"title": str, "text": str},
    category="community",
)
NOTIFICATION_EVENTS[NotificationEvents.MAINTENANCE_COMPLETE] = NotificationEvent(
    name=NotificationEvents.MAINTENANCE_COMPLETE.value,
    priority=NotificationPriority.MEDIUM,
    supported_channels=[NotificationChannel.EMAIL, NotificationChannel.APP],
    context={"work_order": str, "completion_date": datetime, "technician": str},
    category="maintenance",
    loggable=("work_order",),
)
