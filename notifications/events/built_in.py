"""The built-in events of Klaxon."""

from collections.abc import Mapping
from enum import Enum

from notifications.events.enums import NotificationChannel, NotificationPriority
from notifications.events.event import NotificationEvent, register


class BuiltInEvents(Enum):
    """The names of the built-in events."""

    MESSAGE = "message"
    CRITICAL_MESSAGE = "critical_message"
    DAILY_DIGEST = "daily_digest"
    WEEKLY_DIGEST = "weekly_digest"


for member, priority in {
    BuiltInEvents.MESSAGE: NotificationPriority.MEDIUM,
    BuiltInEvents.CRITICAL_MESSAGE: NotificationPriority.CRITICAL,
}.items():
    register(
        member,
        NotificationEvent(
            name=member.value,
            priority=priority,
            supported_channels=[NotificationChannel.APP, NotificationChannel.EMAIL, NotificationChannel.LOG],
            context={"message": str, "title": str | None},
        ),
    )
DIGESTS: Mapping[str, BuiltInEvents] = {
    "daily": BuiltInEvents.DAILY_DIGEST,
    "weekly": BuiltInEvents.WEEKLY_DIGEST,
}
for member in DIGESTS.values():
    register(
        member,
        NotificationEvent(
            name=member.value,
            priority=NotificationPriority.MEDIUM,
            supported_channels=[NotificationChannel.EMAIL, NotificationChannel.APP],
            context={"sections": list},
            category="digest",
            digest=False,
        ),
    )
