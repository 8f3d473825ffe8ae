"""Loads what decides about the turns of claimed deliveries: the other deliveries, and whether anything was read.

The number of queries does not depend on the number of deliveries.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from notifications.events import NotificationEvent
from notifications.models import Acknowledgement, Delivery, InboxItem, TrackingEvent
from notifications.outcomes import Reason
from notifications.sending.gates.reach import load_reach
from notifications.sending.gates.turns import SENT, OtherDelivery, Turn

Key = tuple[int, str]
"""A notification and a recipient."""
READ_KINDS = frozenset({TrackingEvent.Kind.OPENED, TrackingEvent.Kind.CLICKED})
BOUNCE_KINDS = frozenset({TrackingEvent.Kind.BOUNCED, TrackingEvent.Kind.REJECTED})
COLUMNS = ("pk", "notification_id", "recipient_key", "channel", "state", "reason", "due_at", "settled_at")


@dataclass
class Signs:
    """What is known about deliveries that were sent, by their primary key."""

    read: set[int] = field(default_factory=set)
    bounced: set[int] = field(default_factory=set)
    acknowledged: set[tuple[int, Any]] = field(default_factory=set)


def get_event_with_turns(delivery: Delivery) -> NotificationEvent | None:
    """Return the event of a delivery if its channel is a preferred one, so that there are turns; otherwise None."""
    event = delivery.notification.declared_event
    return event if event is not None and event.prefer and delivery.channel in event.preferred else None


def load_turns(deliveries: Sequence[Delivery], now: datetime, using: str) -> dict[int, Turn]:
    """Return the turn of each delivery that has one, by primary key. Makes no query if none has."""
    # A delivery that a person has resent is sent, whatever has happened on other channels.
    events = {row.pk: event for row in deliveries if not row.epoch and (event := get_event_with_turns(row)) is not None}
    if not events:
        return {}
    rows = [row for row in deliveries if row.pk in events]
    entries = [
        entry for event in {id(one): one for one in events.values()}.values() for entry in event.preferred.values()
    ]
    user_ids = {row.recipient_id for row in rows if row.recipient_id is not None}
    reach = load_reach(entries, user_ids, now, using)
    found = _load_others(rows, {name for event in events.values() for name in event.channels}, using)
    signs = _load_signs([one for others in found.values() for one in others], rows, user_ids, using)
    turns = {}
    for row in rows:
        preferred = events[row.pk].preferred
        own = [one for one in found[row.notification_id, row.recipient_key] if one["pk"] != row.pk]
        turns[row.pk] = Turn(
            preferred,
            row.channel,
            row.recipient_id,
            row.notification.wanted_at,
            [_build_other(one, signs) for one in own if one["channel"] in preferred],
            next((one["channel"] for one in own if one["pk"] in signs.read), ""),
            (row.notification_id, row.recipient_id) in signs.acknowledged,
            row.reason == Reason.PASSED_OVER,
            reach,
        )
    return turns


def _build_other(values: dict[str, Any], signs: Signs) -> OtherDelivery:
    return OtherDelivery(
        values["channel"],
        values["state"],
        values["reason"],
        values["due_at"],
        values["settled_at"],
        values["pk"] in signs.bounced,
    )


def _load_others(rows: Sequence[Delivery], channels: Collection[str], using: str) -> dict[Key, list[dict[str, Any]]]:
    """Return all deliveries of these notifications to these recipients."""
    # With these three conditions, the unique index finds few rows of a notification that has many recipients.
    found = Delivery.objects.using(using).filter(
        notification__in={row.notification_id for row in rows},
        channel__in=channels,
        recipient_key__in={row.recipient_key for row in rows},
    )
    by_key: dict[Key, list[dict[str, Any]]] = defaultdict(list)
    for values in found.order_by("pk").values(*COLUMNS):
        by_key[values["notification_id"], values["recipient_key"]].append(values)
    return by_key


def _load_signs(
    others: Sequence[dict[str, Any]], rows: Sequence[Delivery], user_ids: Collection[Any], using: str
) -> Signs:
    signs, sent = Signs(), [one["pk"] for one in others if one["state"] in SENT]
    if user_ids:
        notification_ids = {row.notification_id for row in rows}
        acknowledged = Acknowledgement.objects.using(using).filter(notification__in=notification_ids, user__in=user_ids)
        signs.acknowledged.update(acknowledged.values_list("notification_id", "user_id"))
    if sent:
        read = InboxItem.objects.using(using).filter(delivery__in=sent, read_at__isnull=False)
        signs.read.update(read.values_list("delivery_id", flat=True))
        # Machines open and click mails before anybody reads them.
        events = TrackingEvent.objects.using(using).filter(
            delivery__in=sent, kind__in=(*READ_KINDS, *BOUNCE_KINDS), is_machine=False
        )
        for delivery_id, kind in events.values_list("delivery_id", "kind"):
            (signs.read if kind in READ_KINDS else signs.bounced).add(delivery_id)
    return signs
