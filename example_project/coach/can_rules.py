"""A rule that a rule file cannot express: faults without a red lamp. The red ones are in ``rules.toml``."""

from collections.abc import Iterator

from example_project.coach.notification_events import CoachEvents
from notifications.can.changes import Change
from notifications.can.facts import find_facts
from notifications.can.faults import FaultChange
from notifications.can.python_rules import can_rule
from notifications.can.sends import Send
from notifications.events import NOTIFICATION_EVENTS
from notifications.models import get_cluster_model
from notifications.recipients import Members

EVENTS = {
    "raised": CoachEvents.COACH_FAULT_WARNING,
    "worsened": CoachEvents.COACH_FAULT_WARNING,
    "cleared": CoachEvents.COACH_FAULT_CLEARED,
}
"""The event of each change. A fault that comes and goes (``flapping``) is announced only once."""


@can_rule
def warn_of_minor_faults(change: Change) -> Iterator[Send]:
    """Yield a notification to all members of the coach."""
    if not isinstance(change, FaultChange) or "red" in change.lamps or change.kind not in EVENTS:
        return
    coach = get_cluster_model()._default_manager.get(slug="coach")
    event, facts = EVENTS[change.kind], find_facts(change)
    declared = NOTIFICATION_EVENTS[event].context or {}
    options = {"correlation_id": change.correlation_id}
    yield Send(event, Members(coach), coach, {name: facts[name] for name in declared}, options)
