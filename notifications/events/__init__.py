"""Events: the kinds of things that happen, declared in code.

A host declares the names in an enum, so that a typing error raises an error, and registers a :class:`NotificationEvent`
for each member. The system checks compare the enum with the registry.
"""

from notifications.events.built_in import DIGESTS, ON_REQUEST, SYSTEM_EVENTS, BuiltInEvents
from notifications.events.enums import BANDS, LEVELS, NotificationChannel, NotificationPriority, key_of
from notifications.events.escalation import DEFAULT_ESCALATION, Escalation, Step
from notifications.events.event import (
    NOTIFICATION_EVENTS,
    EventRegistry,
    NotificationEvent,
    Transform,
    Urgency,
    autodiscover,
    register,
)
from notifications.events.inbox import InboxAction
from notifications.events.prefer import Prefer

__all__ = [
    "BANDS",
    "DEFAULT_ESCALATION",
    "DIGESTS",
    "LEVELS",
    "NOTIFICATION_EVENTS",
    "ON_REQUEST",
    "SYSTEM_EVENTS",
    "BuiltInEvents",
    "Escalation",
    "EventRegistry",
    "InboxAction",
    "NotificationChannel",
    "NotificationEvent",
    "NotificationPriority",
    "Prefer",
    "Step",
    "Transform",
    "Urgency",
    "autodiscover",
    "key_of",
    "register",
]
