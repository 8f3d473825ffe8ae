"""The app channel: it stores an inbox item.

The channel is transactional: the item, the state *sent* and the log row are in one commit, so an item appears exactly
once.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from django.contrib.auth import get_user_model

from notifications.channels.base import BaseChannel, Rendered
from notifications.events import NOTIFICATION_EVENTS
from notifications.events.inbox import describe_item
from notifications.models import Delivery, InboxItem
from notifications.models.inbox import GROUP_KEY_LENGTH, ICON_LENGTH, NAME_LENGTH, TITLE_LENGTH, URL_LENGTH
from notifications.outcomes import Receipt, Verdict


class AppChannel(BaseChannel):
    """Store inbox items for users. The subject becomes the title, and the text becomes the body."""

    address_kind = "user"
    group_size = 100
    transactional = True
    needs_presence = True
    required_parts = ("subject.txt", "txt")
    keeps_content_secret = True

    def prepare(self, delivery: Delivery, rendered: Rendered) -> InboxItem:
        """Return the item.

        :raises ValueError: if its URL, icon or group key is not valid.
        """
        notification = delivery.notification
        item = InboxItem(
            cluster_id=notification.cluster_id,
            recipient_id=delivery.recipient_id,  # type: ignore[misc]  # the address gate lets only users through
            delivery_id=delivery.pk,
            event=notification.event,
            priority=notification.priority,
            topic=notification.topic,
            title=rendered.subject[:TITLE_LENGTH],
            body=rendered.text,
            actor_id=notification.actor_id,
            created_at=max(notification.created_at, notification.send_at or notification.created_at),
        )
        _describe(item, delivery)
        if rendered.is_sensitive:
            item.encrypt(rendered.label)
        return item

    def send(self, messages: Sequence[InboxItem]) -> Iterator[Receipt]:
        _name_actors(messages)
        InboxItem.objects.add_items(messages)
        for message in messages:
            yield Receipt(message, Verdict.ACCEPTED, provider="inbox")


def _describe(item: InboxItem, delivery: Delivery) -> None:
    """Set what the event declares about its items."""
    event = NOTIFICATION_EVENTS.named(item.event)
    if event is None or not event.describes_items:
        return
    description = describe_item(event, delivery.notification.values)
    for name, text, length in (
        ("URL", description.url, URL_LENGTH),
        ("icon", description.icon, ICON_LENGTH),
        ("group key", description.group_key, GROUP_KEY_LENGTH),
    ):
        if len(text) > length:
            raise ValueError(f"The {name} of an item of event {event.name!r} has more than {length} characters.")
    item.url, item.icon, item.group_key, item.actions = description


def _name_actors(items: Sequence[InboxItem]) -> None:
    """Set the names of the actors, which are read with one query, or none without actors."""
    keys = {item.actor_id for item in items if item.actor_id is not None}
    users = get_user_model()._default_manager.in_bulk(keys) if keys else {}
    for item in items:
        if item.actor_id in users:
            item.actor_name = _get_name(users[item.actor_id])[:NAME_LENGTH]


def _get_name(user: Any) -> str:
    full_name = user.get_full_name() if hasattr(user, "get_full_name") else ""
    return str(full_name or user)
