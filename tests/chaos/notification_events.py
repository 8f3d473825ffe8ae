"""The events that are sent here: parcels through the channel of the chaos suite, mails through SMTP."""

from enum import Enum

from notifications.events import NotificationEvent, NotificationPriority, register


class ChaosEvents(Enum):
    PARCEL = "chaos_parcel"
    LETTER = "chaos_letter"
    ALARM = "chaos_alarm"
    HOOK = "chaos_hook"


register(
    ChaosEvents.PARCEL,
    NotificationEvent("chaos_parcel", NotificationPriority.MEDIUM, ["chaos"], context={"words": str}),
)
register(
    ChaosEvents.LETTER,
    NotificationEvent("chaos_letter", NotificationPriority.MEDIUM, ["email"], context={"words": str}),
)
register(
    ChaosEvents.ALARM,
    NotificationEvent("chaos_alarm", NotificationPriority.CRITICAL, ["email"], context={"words": str}),
)
register(
    ChaosEvents.HOOK,
    NotificationEvent("chaos_hook", NotificationPriority.MEDIUM, ["webhook"], context={"words": str}),
)
