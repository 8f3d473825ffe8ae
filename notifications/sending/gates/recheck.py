"""Asking again about deliveries that wait: for the worker, for digests and for explanations."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from notifications import conf
from notifications.core.channel_classes import get_address_kind
from notifications.events import NOTIFICATION_EVENTS
from notifications.exceptions import ChannelNotConfigured
from notifications.models import Delivery
from notifications.models.suppression import Pair
from notifications.outcomes import Answer, Drop, Reason
from notifications.sending.gates import Gate, decide
from notifications.sending.gates.facts import Facts, Person, people

UNREGISTERED = (
    "Event {!r} is not registered in the process that delivers. Register it in a notification_events.py of an app in "
    "INSTALLED_APPS."
)


def load_recipients(claimed: Sequence[Delivery]) -> dict[int, Person]:
    """The recipient of each delivery, in four queries for each cluster."""
    by_cluster: dict[Any, list[Delivery]] = defaultdict(list)
    for delivery in claimed:
        by_cluster[delivery.notification.cluster_id].append(delivery)
    persons: dict[int, Person] = {}
    for deliveries in by_cluster.values():
        users = {delivery.recipient_id for delivery in deliveries if delivery.recipient_id is not None}
        known = people(deliveries[0].notification.cluster, users)
        for delivery in deliveries:
            persons[delivery.pk] = known.get(delivery.recipient_id) or Person(delivery.recipient_key)
    return persons


def find_obstacle(delivery: Delivery) -> tuple[Reason, str] | None:
    """Why no gate can even be asked about it, if so."""
    try:
        get_address_kind(delivery.channel)
    except ChannelNotConfigured as error:
        return Reason.NOT_CONFIGURED, str(error)
    if NOTIFICATION_EVENTS.named(delivery.notification.event) is None:
        return Reason.UNKNOWN_EVENT, UNREGISTERED.format(delivery.notification.event)
    return None


def collect_addresses(claimed: Sequence[Delivery]) -> set[Pair]:
    on = conf.current().enabled_channels
    return {(get_address_kind(row.channel), row.address) for row in claimed if row.address and row.channel in on}


def recheck(
    delivery: Delivery, person: Person, suppressed: frozenset[Pair], now: datetime, gates: Sequence[Gate]
) -> Answer:
    """What these gates, its sender and its time say of a delivery now."""
    if delivery.notification.cancelled_at is not None:
        return Drop(Reason.CANCELLED)
    expires_at = delivery.notification.expires_at
    if expires_at is not None and expires_at <= now:
        return Drop(Reason.EXPIRED)
    return decide(build_facts(delivery, person, suppressed, now), gates)


def build_facts(
    delivery: Delivery,
    person: Person,
    suppressed: frozenset[Pair],
    now: datetime,
    wanted_at: datetime | None = None,
) -> Facts:
    """
    :param wanted_at: unless told, this moment is the one that counts, even if by this clock it was released too early.
    """
    told = delivery.notification
    return Facts(
        NOTIFICATION_EVENTS.find(told.event),
        delivery.channel,
        get_address_kind(delivery.channel),
        person,
        delivery.address,
        suppressed,
        topic=told.topic,
        actor_id=told.actor_id,
        now=now,
        wanted_at=wanted_at or min(told.wanted_at, now),
        has_own_time=told.has_own_time,
    )
