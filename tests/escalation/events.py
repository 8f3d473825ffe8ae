"""Events of the tests of escalations, which register them while they run."""

from datetime import timedelta
from enum import Enum

from notifications.events import Escalation, NotificationEvent, NotificationPriority, Step

CHAIN = Escalation(
    (
        Step(timedelta(minutes=15), "user:supervisor"),
        Step(timedelta(minutes=30), "role:Directors", ["email"]),
        Step(timedelta(hours=1), "address:email=office@example.com", ["email"], repeat=2),
    ),
    repeat_every=timedelta(minutes=10),
)


class Alarms(Enum):
    PUMP = "pump_failed"
    LIFT = "lift_stuck"


def make_event(name: str = Alarms.PUMP.value, **more) -> NotificationEvent:
    values = {"context": {"message": str, "title": str | None}, "escalation": CHAIN, **more}
    return NotificationEvent(name, values.pop("priority", NotificationPriority.HIGH), ["app", "email"], **values)
