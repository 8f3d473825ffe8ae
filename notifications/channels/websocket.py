"""The websocket channel: a message that the user's open pages show for a moment.

It is stored for a minute only, so that a page that connects again in that time shows it too. The state *sent* means
that it was handed to the open pages, and not that there were any.

The channel is transactional: the message and the state *sent* are in one commit.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from notifications.channels.base import BaseChannel, Rendered
from notifications.core import clock
from notifications.core.databases import get_current_partition
from notifications.events import NOTIFICATION_EVENTS, NotificationPriority
from notifications.events.inbox import describe_item
from notifications.models import Delivery, LiveMessage
from notifications.outcomes import Receipt, Verdict

MAX_TTL = 3600
TEXT_LENGTH = 500


class WebSocketChannel(BaseChannel):
    """Show a message in the open pages of users. The subject becomes the title.

    It is dropped for recipients who get the same notification in the app, because their pages show the inbox item.

    Option: ``ttl``, the seconds for which the message exists.
    """

    address_kind = "user"
    group_size = 100
    transactional = True
    needs_presence = True
    covered_by = "app"
    required_parts = ("txt",)
    optional_parts = ("subject.txt",)

    def __init__(self, ttl: float = 60) -> None:
        if not 0 < ttl <= MAX_TTL:
            raise ValueError(f"The option 'ttl' must be a number of seconds of at most {MAX_TTL}.")
        self.lifetime = timedelta(seconds=ttl)

    def prepare(self, delivery: Delivery, rendered: Rendered) -> LiveMessage:
        """Return the message, whose time begins when it is sent.

        :raises ValueError: if its URL or icon is not valid.
        """
        notification = delivery.notification
        event = NOTIFICATION_EVENTS.named(notification.event)
        url = icon = ""
        if event is not None and event.describes_items:
            url, icon, _group, _actions = describe_item(event, notification.values)
        content = {
            "title": rendered.subject or rendered.label,
            "text": rendered.text.strip()[:TEXT_LENGTH],
            "label": rendered.label,
            "url": url,
            "icon": icon,
            "priority": NotificationPriority(notification.priority).name.lower(),
        }
        return LiveMessage(user_id=delivery.recipient_id, content=content)  # type: ignore[misc]  # it has an account

    def send(self, messages: Sequence[LiveMessage]) -> Iterator[Receipt]:
        now = clock.now(get_current_partition())
        for message in messages:
            message.expires_at = now + self.lifetime
        LiveMessage.objects.add_messages(messages)
        for message in messages:
            yield Receipt(message, Verdict.ACCEPTED, provider="websocket")
