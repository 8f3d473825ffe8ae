"""The one event that is sent here."""

from enum import Enum

from notifications.events import NotificationEvent, NotificationPriority, register


class ChaosEvents(Enum):
    PARCEL = "chaos_parcel"


register(
    ChaosEvents.PARCEL,
    NotificationEvent("chaos_parcel", NotificationPriority.MEDIUM, ["chaos"], context={"words": str}),
)
