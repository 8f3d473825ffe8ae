"""The facts of deliveries that wait, for whoever asks the gates about them again."""

from collections.abc import Sequence
from datetime import datetime

from notifications import conf
from notifications.channel_classes import address_kind
from notifications.events import NOTIFICATION_EVENTS
from notifications.exceptions import ChannelNotConfigured
from notifications.gates.facts import Facts, Person
from notifications.models import Delivery
from notifications.models.suppression import Pair
from notifications.outcomes import Reason


def impossible(delivery: Delivery) -> tuple[Reason, str] | None:
    """Why no gate can even be asked about it, if so."""
    try:
        address_kind(delivery.channel)
    except ChannelNotConfigured as error:
        return Reason.NOT_CONFIGURED, str(error)
    if NOTIFICATION_EVENTS.named(delivery.notification.event) is None:
        return Reason.UNKNOWN_EVENT, f"Event {delivery.notification.event!r} is no longer registered."
    return None


def addresses_of(deliveries: Sequence[Delivery]) -> set[Pair]:
    on = conf.current().enabled_channels
    return {(address_kind(row.channel), row.address) for row in deliveries if row.address and row.channel in on}


def facts_of(
    delivery: Delivery, person: Person, suppressed: frozenset[Pair], now: datetime, wanted_at: datetime
) -> Facts:
    told = delivery.notification
    return Facts(
        NOTIFICATION_EVENTS.find(told.event),
        delivery.channel,
        address_kind(delivery.channel),
        person,
        delivery.address,
        suppressed,
        topic=told.topic,
        actor_id=told.actor_id,
        now=now,
        wanted_at=wanted_at,
    )
