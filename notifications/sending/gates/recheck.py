"""Recheck waiting deliveries: for the worker, for digests and for explanations."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from notifications import conf
from notifications.conf import get_address_kind
from notifications.events import NOTIFICATION_EVENTS
from notifications.exceptions import ChannelNotConfigured
from notifications.models import Delivery
from notifications.models.suppression import Pair
from notifications.outcomes import Answer, Drop, Reason
from notifications.sending.gates import Gate, decide
from notifications.sending.gates.facts import Facts, Person, load_people

EVENT_NOT_REGISTERED = (
    "Event {!r} is not registered in the process that delivers. Register it in a notification_events.py of an app in "
    "INSTALLED_APPS."
)


def load_delivery_recipients(deliveries: Sequence[Delivery]) -> dict[int, Person]:
    """Return the recipient of each delivery by the primary key of the delivery. Takes four queries for each cluster."""
    by_cluster: dict[Any, list[Delivery]] = defaultdict(list)
    for delivery in deliveries:
        by_cluster[delivery.notification.cluster_id].append(delivery)
    persons: dict[int, Person] = {}
    for in_cluster in by_cluster.values():
        user_ids = {delivery.recipient_id for delivery in in_cluster if delivery.recipient_id is not None}
        people = load_people(in_cluster[0].notification.cluster, user_ids)
        for delivery in in_cluster:
            persons[delivery.pk] = people.get(delivery.recipient_id) or Person(delivery.recipient_key)
    return persons


def find_obstacle(delivery: Delivery) -> tuple[Reason, str] | None:
    """Return why the gates cannot decide about the delivery, as a reason and an error; None if they can."""
    try:
        get_address_kind(delivery.channel)
    except ChannelNotConfigured as error:
        return Reason.NOT_CONFIGURED, str(error)
    if NOTIFICATION_EVENTS.named(delivery.notification.event) is None:
        return Reason.UNKNOWN_EVENT, EVENT_NOT_REGISTERED.format(delivery.notification.event)
    return None


def collect_addresses(deliveries: Sequence[Delivery]) -> set[Pair]:
    """Return the addresses of the deliveries on enabled channels, each with its kind."""
    enabled = conf.current().enabled_channels
    return {
        (get_address_kind(row.channel), row.address) for row in deliveries if row.address and row.channel in enabled
    }


def recheck(
    delivery: Delivery, person: Person, suppressed: frozenset[Pair], now: datetime, gates: Sequence[Gate]
) -> Answer:
    """Decide about a delivery again: drop it if it was cancelled or has expired, or else call these gates."""
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
    """Return the facts about a delivery.

    :param wanted_at: by default the notification's, but not after ``now``: by this clock, the delivery may have been
        released too early.
    """
    notification = delivery.notification
    return Facts(
        NOTIFICATION_EVENTS.find(notification.event),
        delivery.channel,
        get_address_kind(delivery.channel),
        person,
        delivery.address,
        suppressed,
        topic=notification.topic,
        actor_id=notification.actor_id,
        now=now,
        wanted_at=wanted_at or min(notification.wanted_at, now),
        has_own_time=notification.has_own_time,
    )
