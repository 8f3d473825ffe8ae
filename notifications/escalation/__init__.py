"""Escalation: if nobody acknowledges a notification in time, the next person or group gets it."""

from notifications.escalation.actions import (
    acknowledge,
    acknowledge_run,
    acknowledge_runs,
    escalate,
    hand_over,
    resolve,
    resolve_runs,
    snooze,
    start_by_hand,
)
from notifications.escalation.engine import run_due
from notifications.events import DEFAULT_ESCALATION, Escalation, Step

__all__ = [
    "DEFAULT_ESCALATION",
    "Escalation",
    "Step",
    "acknowledge",
    "acknowledge_run",
    "acknowledge_runs",
    "escalate",
    "hand_over",
    "resolve",
    "resolve_runs",
    "run_due",
    "snooze",
    "start_by_hand",
]
