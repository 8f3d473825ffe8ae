"""The escalations of the programme's design document, by type of notification."""

from datetime import timedelta

from notifications.events import Escalation, Step

DIRECTOR, COORDINATOR = "user:program-director", "user:coordinator"
SUPERVISOR = "rota:attending"
OFFICE = "address:email=gme-office@scheduler.example"
EMERGENCY = "address:email=emergency@scheduler.example"
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)

PERSONAL = ("app", "email")
LAST_STEPS = (Step(1 * HOUR, OFFICE, ["email"]), Step(2 * HOUR, EMERGENCY, ["email"], repeat=3))
ESCALATE_VIOLATION = Escalation((Step(0 * HOUR, DIRECTOR, PERSONAL), *LAST_STEPS))
"""At once to the director, after an hour to the GME office, after two hours the emergency protocol."""
ESCALATE_GAP = Escalation((Step(15 * MINUTE, SUPERVISOR, PERSONAL), Step(30 * MINUTE, DIRECTOR, PERSONAL), *LAST_STEPS))
"""To the attending physician on call, then to the director, and as above."""
ESCALATE_CONFLICT = Escalation((Step(1 * HOUR, COORDINATOR, PERSONAL),))
"""After an hour to the coordinator."""
