"""The app channel: it stores an inbox item.

The channel is transactional: the item, the state *sent* and the log row are in one commit, so an item appears exactly
once.
"""

from collections.abc import Iterator, Sequence

from notifications.channels.base import BaseChannel, Rendered
from notifications.models import Delivery, InboxItem
from notifications.models.inbox import TITLE_LENGTH
from notifications.outcomes import Receipt, Verdict


class AppChannel(BaseChannel):
    """Store inbox items for users. The subject becomes the title, and the text becomes the body."""

    address_kind = "user"
    group_size = 100
    transactional = True
    required_parts = ("subject.txt", "txt")
    keeps_content_secret = True

    def prepare(self, delivery: Delivery, rendered: Rendered) -> InboxItem:
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
            created_at=max(notification.created_at, notification.send_at or notification.created_at),
        )
        if rendered.is_sensitive:
            item.encrypt(rendered.label)
        return item

    def send(self, messages: Sequence[InboxItem]) -> Iterator[Receipt]:
        InboxItem.objects.add_items(messages)
        for message in messages:
            yield Receipt(message, Verdict.ACCEPTED, provider="inbox")
