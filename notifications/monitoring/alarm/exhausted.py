"""An escalation that nobody has answered goes to operators and to the hook."""

from typing import Any

from notifications.core import clock
from notifications.models import EscalationRun
from notifications.monitoring.alarm.announcements import announce
from notifications.signals import escalation_exhausted

CAUSE = "escalation"


def connect() -> None:
    """Announce exhausted escalations from now on."""
    escalation_exhausted.connect(announce_exhausted, dispatch_uid="klaxon.alarm")


def announce_exhausted(*, run: EscalationRun, **kwargs: Any) -> None:
    """Announce it in the transaction in which the escalation ends, so that this happens exactly once."""
    using = run._state.db or "default"
    cause = {
        "name": CAUSE,
        "detail": f"Nobody has answered the escalation of {run}, which has no more steps.",
        "remedy": "Open it in the admin, and acknowledge it or hand it over.",
        "since": run.started_at.isoformat(timespec="seconds"),
    }
    announce("degraded", [cause], [], clock.now(using), using)
