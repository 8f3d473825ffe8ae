"""What waits already for the same digest or batch: whoever waits with others goes out when the first of them is due."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from notifications.core.addresses import hash_address
from notifications.models import Delivery
from notifications.outcomes import Hold, Reason
from notifications.sending.gates import Facts
from notifications.sending.gates.quiet_hours import first_open, get_person_timetable, get_timetable

TOGETHER = (Reason.BATCH, Reason.DIGEST)
JOINS = ", with what waits already"
MOST = 1000

Wait = tuple[datetime, datetime]
"""When something is due, and from when on it may be taken along."""


def goes_out_at(hold: Hold, facts: Facts, key: str, cluster_id: Any, since: datetime | None = None) -> datetime:
    """When what is held goes out: with those that wait for the same digest or batch, if it does.

    :param key: of the recipient.
    :param since: what is due before then will have gone.
    """
    if hold.reason not in TOGETHER:
        return hold.until
    others = _others(hold.reason, facts, key, cluster_id, since)
    moment = _first(others, (hold.until, facts.wanted_at))
    if moment == hold.until:
        return moment
    # Made of others, it keeps the hours of now; alone it has asked for them.
    timetable = get_person_timetable(facts) if hold.reason == Reason.DIGEST else get_timetable(facts)
    return first_open(timetable, moment, moment)


def _others(reason: str, facts: Facts, key: str, cluster_id: Any, since: datetime | None) -> list[Wait]:
    alike = Delivery.objects.filter(state="held", reason=reason, recipient_key=key, channel=facts.channel)
    mine = alike.filter(notification__cluster_id=cluster_id, address_hash=hash_address(facts.stored_address))
    if reason == Reason.BATCH:
        mine = mine.filter(notification__event=facts.event.name)
    if since is not None:
        mine = mine.filter(due_at__gte=since)
    times = mine.order_by("due_at").values_list("due_at", "notification__created_at", "notification__send_at")
    return [(due, max(made, send_at or made)) for due, made, send_at in times[:MOST] if due is not None]


def _first(others: Iterable[Wait], mine: Wait) -> datetime:
    """When those go out with whom this one goes. What is to go out at a later time is not taken along before."""
    waiting = [*others, mine]
    while (moment := min(due for due, _ in waiting)) < mine[1]:
        waiting = [(due, wanted_at) for due, wanted_at in waiting if due > moment and wanted_at > moment]
    return moment
