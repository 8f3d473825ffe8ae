"""What set the time of what is held for an hour, a digest or a batch: the gates of ``send()``, asked anew."""

from dataclasses import replace

from notifications.events import NotificationPriority
from notifications.explain.digest_schedule import TOGETHER
from notifications.models import Delivery
from notifications.outcomes import DeliveryState, Hold, Reason
from notifications.sending.gates import Facts
from notifications.sending.gates.digest import digest
from notifications.sending.gates.quiet_hours import quiet_hours

HOURS = (*TOGETHER, Reason.QUIET_HOURS, Reason.DELIVERY_WINDOW)
CHANGED_SINCE = "; the time was set before, by what has been changed since"


def is_held_for_an_hour(row: Delivery) -> bool:
    return row.state == DeliveryState.HELD and row.reason in HOURS


def set_by(row: Delivery, facts: Facts) -> Hold | None:
    """What set its time; None if it would be another today. What is otherwise by now need not be changed.

    :param facts: of the moment at which it was sent.
    """
    told = row.notification
    then = replace(facts, priority=NotificationPriority(told.priority), expires_at=told.expires_at)
    holds = [answer for gate in (quiet_hours, digest) if isinstance(answer := gate(then), Hold)]
    is_the_same = bool(holds) and (holds[-1].until, holds[-1].reason) == (row.due_at, row.reason)
    return holds[-1] if is_the_same else None
