"""When a digest or batch is sent: all deliveries that wait for it are sent when the first of them is due."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from notifications.core.addresses import hash_address
from notifications.models import Delivery
from notifications.outcomes import DeliveryState, Hold, Reason
from notifications.sending.gates import Facts
from notifications.sending.gates.hours import find_opening, get_person_timetable, get_timetable

GROUPED_REASONS = (Reason.BATCH, Reason.DIGEST)
WITH_OTHERS = ", together with deliveries that are waiting already"
MAX_OTHERS = 1000

Wait = tuple[datetime, datetime]
"""When a delivery is due, and the time before which it is not sent with others."""


def find_send_time(
    hold: Hold, facts: Facts, recipient_key: str, cluster_id: Any, since: datetime | None = None
) -> datetime:
    """Return when a held delivery is sent: with those that wait for the same digest or batch, if it waits for one.

    :param since: deliveries that are due before this time will have been sent.
    """
    if hold.reason not in GROUPED_REASONS:
        return hold.until
    others = _load_others(hold.reason, facts, recipient_key, cluster_id, since)
    moment = _find_first(others, (hold.until, facts.wanted_at))
    if moment == hold.until:
        return moment
    # If others made it due, the hours count as of now. Its own time already takes them into account.
    timetable = get_person_timetable(facts) if hold.reason == Reason.DIGEST else get_timetable(facts)
    return find_opening(timetable, moment, moment)


def _load_others(reason: str, facts: Facts, recipient_key: str, cluster_id: Any, since: datetime | None) -> list[Wait]:
    others = Delivery.objects.filter(
        state=DeliveryState.HELD,
        reason=reason,
        recipient_key=recipient_key,
        channel=facts.channel,
        notification__cluster_id=cluster_id,
        address_hash=hash_address(facts.stored_address),
    )
    if reason == Reason.BATCH:
        others = others.filter(notification__event=facts.event.name)
    if since is not None:
        others = others.filter(due_at__gte=since)
    times = others.order_by("due_at").values_list("due_at", "notification__created_at", "notification__send_at")
    return [(due, max(made, send_at or made)) for due, made, send_at in times[:MAX_OTHERS] if due is not None]


def _find_first(others: Iterable[Wait], own: Wait) -> datetime:
    """Return when the first of them is due that is sent together with this one. None is sent before its ``send_at``."""
    waiting = [*others, own]
    while (moment := min(due for due, _ in waiting)) < own[1]:
        waiting = [(due, wanted_at) for due, wanted_at in waiting if due > moment and wanted_at > moment]
    return moment
