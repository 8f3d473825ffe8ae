"""Events: the kinds of things that happen, declared in code.

A host keeps an enum of names (so that a typo is an error) and a registry that says how each is handled. The two stay
separate things; the system checks hold them together.
"""

from notifications.events.built_in import DIGESTS, BuiltInEvents
from notifications.events.enums import BANDS, LEVELS, NotificationChannel, NotificationPriority, key_of
from notifications.events.event import NotificationEvent, Transform, Urgency
from notifications.events.registry import NOTIFICATION_EVENTS, EventRegistry, autodiscover, register

__all__ = [
    "BANDS",
    "DIGESTS",
    "LEVELS",
    "NOTIFICATION_EVENTS",
    "BuiltInEvents",
    "EventRegistry",
    "NotificationChannel",
    "NotificationEvent",
    "NotificationPriority",
    "Transform",
    "Urgency",
    "autodiscover",
    "key_of",
    "register",
]
