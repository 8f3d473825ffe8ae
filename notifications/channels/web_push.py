"""The push channel: notifications of the browser (Web Push: RFC 8030, 8291, 8292), also while no page is open.

A recipient can have several browsers. A message is accepted if the push service of one of them accepts it. A browser
shows a message with the same tag only once, so a retry does not show it twice.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from notifications.channels.base import Rendered
from notifications.channels.push_content import URGENCIES, cut_to_fit, find_destination, make_tag
from notifications.channels.push_services import DEFAULT_SERVICES, PROVIDER, PushClient, load_private_key
from notifications.channels.push_targets import DAY, MAX_TARGETS, Answer, PushTargetsChannel, check_ttl
from notifications.events import NotificationPriority
from notifications.models import Delivery, PushSubscription
from notifications.models.push_target import PushTargetQuerySet

MAX_PAYLOAD_BYTES = 3993
"""What fits into 4096 bytes when it is encrypted, which every push service accepts (RFC 8030, 7.2)."""
DECLARATIVE = 8030
"""The value that marks a declarative message, which a browser can show without a service worker."""


@dataclass(frozen=True)
class PushMessage:
    """A message for all browsers of a user.

    :param topic: a text of at most 32 characters. A push service replaces a waiting message with the same topic.
    :param expires_at: the time after which the message is worthless.
    """

    user_id: Any
    payload: str
    topic: str
    urgency: str
    expires_at: datetime | None


class WebPushChannel(PushTargetsChannel):
    """Send web push messages. The subject becomes the title.

    Options: ``private_key`` and ``subject``, the VAPID key and the address (``mailto:`` or ``https:``) under which push
    services reach the site's operator; ``ttl``, the seconds for which a push service keeps a message for a browser that
    is offline; ``timeout``, the seconds for one request; ``services``, the hosts that subscriptions may name.
    """

    requires = ("pywebpush",)
    provider = PROVIDER
    model = PushSubscription
    target_name = "browser"

    def __init__(
        self,
        private_key: str = "",
        subject: str = "",
        ttl: float = DAY,
        timeout: float = 10,
        services: Sequence[str] = DEFAULT_SERVICES,
    ) -> None:
        if not subject.startswith(("mailto:", "https://")):
            raise ValueError(
                "The option 'subject' must be an address such as mailto:admin@example.com or an https URL."
            )
        self.ttl = check_ttl(ttl)
        # The requests of one message follow each other.
        self.timeout = timeout * MAX_TARGETS
        self.client = PushClient(load_private_key(private_key), subject, timeout, services)

    def prepare(self, delivery: Delivery, rendered: Rendered) -> PushMessage:
        notification = delivery.notification
        topic = make_tag(delivery)
        url, icon = find_destination(delivery, rendered)
        content: dict[str, Any] = {
            "title": rendered.subject or rendered.label,
            "lang": rendered.language,
            "tag": topic,
            "navigate": url,
        }
        if icon:
            content["icon"] = icon
        if notification.priority == NotificationPriority.CRITICAL:
            content["requireInteraction"] = True
        payload = write_payload(content, rendered.text.strip())
        urgency = URGENCIES[NotificationPriority(notification.priority)]
        return PushMessage(delivery.recipient_id, payload, topic, urgency, notification.expires_at)

    def get_usable_targets(self) -> PushTargetQuerySet[Any]:
        return PushSubscription.objects.using(self.get_targets().db).usable(self.client.public_key)

    def push(self, target: PushSubscription, message: PushMessage, ttl: int, now: datetime) -> Answer:
        headers = {"TTL": str(ttl), "Topic": message.topic, "Urgency": message.urgency}
        return self.client.push(target, message.payload, headers)

    def close(self) -> None:
        self.client.close()


def write_payload(content: dict[str, Any], text: str) -> str:
    """Return a declarative message as JSON, with as much of the text as fits."""

    def write(text: str) -> str:
        notification = {**content, "body": text} if text else content
        message = {"web_push": DECLARATIVE, "notification": notification}
        return json.dumps(message, ensure_ascii=False, separators=(",", ":"))

    return write(cut_to_fit(text, lambda text: len(write(text).encode()), MAX_PAYLOAD_BYTES))
