"""The push channel: notifications of the browser (Web Push: RFC 8030, 8291, 8292), also while no page is open.

A recipient can have several browsers. A message is accepted if the push service of one of them accepts it. A browser
shows a message with the same tag only once, so a retry does not show it twice.
"""

import base64
import hashlib
import json
import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urljoin

from django.db import router
from django.urls import NoReverseMatch, reverse

from notifications.channels.base import BaseChannel, Rendered
from notifications.channels.push_services import (
    DEFAULT_SERVICES,
    Answer,
    PushClient,
    choose_receipt,
    load_private_key,
)
from notifications.core import clock
from notifications.events import NOTIFICATION_EVENTS, NotificationPriority
from notifications.events.inbox import describe_item, is_image
from notifications.mail import get_theme
from notifications.models import Delivery, PushSubscription
from notifications.models.push_subscription import PushSubscriptionQuerySet
from notifications.outcomes import Receipt

logger = logging.getLogger("notifications.channel.push")

DAY = 86_400
MAX_TTL = 28 * DAY
"""The longest time for which the large push services keep a message."""
MAX_PAYLOAD_BYTES = 3993
"""What fits into 4096 bytes when it is encrypted, which every push service accepts (RFC 8030, 7.2)."""
MAX_BROWSERS = 10
"""The number of browsers of a recipient that get a message: the newest ones."""
DECLARATIVE = 8030
"""The value that marks a declarative message, which a browser can show without a service worker."""
URGENCIES = {
    NotificationPriority.CRITICAL: "high",
    NotificationPriority.HIGH: "high",
    NotificationPriority.MEDIUM: "normal",
    NotificationPriority.LOW: "low",
}


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


class WebPushChannel(BaseChannel):
    """Send web push messages. The subject becomes the title.

    Options: ``private_key`` and ``subject``, the VAPID key and the address (``mailto:`` or ``https:``) under which push
    services reach the site's operator; ``ttl``, the seconds for which a push service keeps a message for a browser that
    is offline; ``timeout``, the seconds for one request; ``services``, the hosts that subscriptions may name.
    """

    address_kind = "user"
    one_by_one = True
    required_parts = ("subject.txt", "txt")
    requires = ("pywebpush",)

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
        if not 0 <= ttl <= MAX_TTL:
            raise ValueError(f"The option 'ttl' must be a number of seconds from 0 to {MAX_TTL}.")
        self.ttl = ttl
        # The requests of one message follow each other.
        self.timeout = timeout * MAX_BROWSERS
        self.client = PushClient(load_private_key(private_key), subject, timeout, services)

    @staticmethod
    def find_reachable(user_ids: Collection[Any]) -> Collection[Any]:
        return _get_subscriptions().find_users(user_ids)

    def prepare(self, delivery: Delivery, rendered: Rendered) -> PushMessage:
        notification = delivery.notification
        key = f"{notification.pk}:{delivery.recipient_key}"
        topic = base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest()[:24]).decode()
        content: dict[str, Any] = {
            "title": rendered.subject or rendered.label,
            "lang": rendered.language,
            "tag": topic,
            **_describe(delivery, rendered),
        }
        if notification.priority == NotificationPriority.CRITICAL:
            content["requireInteraction"] = True
        payload = write_payload(content, rendered.text.strip())
        urgency = URGENCIES[NotificationPriority(notification.priority)]
        return PushMessage(delivery.recipient_id, payload, topic, urgency, notification.expires_at)

    def send(self, messages: Sequence[PushMessage]) -> Iterator[Receipt]:
        if not messages:
            return
        rows = _get_subscriptions().usable(self.client.public_key)
        by_user = rows.load_by_user({message.user_id for message in messages})
        for message in messages:
            yield self._push(message, by_user.get(message.user_id, [])[-MAX_BROWSERS:])

    def close(self) -> None:
        self.client.close()

    def _push(self, message: PushMessage, subscriptions: Sequence[PushSubscription]) -> Receipt:
        """Send a message to all browsers of its recipient, and forget those that do not exist any more."""
        now = clock.cached_now(_get_database())
        ttl = self._get_ttl(message.expires_at, now)
        answers: list[Answer] = []
        for subscription in subscriptions:
            headers = {"TTL": str(ttl), "Topic": message.topic, "Urgency": message.urgency}
            answers.append(self.client.push(subscription, message.payload, headers))
        gone = [one.pk for one, answer in zip(subscriptions, answers, strict=True) if answer.is_gone]
        accepted = [one.pk for one, answer in zip(subscriptions, answers, strict=True) if answer.is_accepted]
        rows = _get_subscriptions()
        if gone:
            rows.filter(pk__in=gone).delete()
        if accepted:
            rows.filter(pk__in=accepted).update(accepted_at=now)
        for answer in answers if accepted else ():
            if not answer.is_accepted and not answer.is_gone:
                logger.warning("A browser of a recipient was not reached, but another one was: %s", answer.error)
        return choose_receipt(message, answers)

    def _get_ttl(self, expires_at: datetime | None, now: datetime) -> int:
        if expires_at is None:
            return int(self.ttl)
        return max(0, min(int(self.ttl), int((expires_at - now).total_seconds())))


def _get_database() -> str:
    return router.db_for_write(PushSubscription)


def _get_subscriptions() -> PushSubscriptionQuerySet:
    return PushSubscription.objects.using(_get_database())


def _describe(delivery: Delivery, rendered: Rendered) -> dict[str, str]:
    """Return where the message leads and its icon, as the event declares them for the inbox."""
    notification = delivery.notification
    event = NOTIFICATION_EVENTS.named(notification.event)
    url = icon = ""
    if event is not None and event.describes_items and not rendered.is_sensitive:
        url, icon, _group, _actions = describe_item(event, notification.values)
    base = get_theme(notification.cluster, notification.event).base_url
    address = urljoin(f"{base}/", url or _get_inbox_path())
    described = {"navigate": address}
    if icon and is_image(icon):
        described["icon"] = urljoin(f"{base}/", icon)
    return described


def _get_inbox_path() -> str:
    try:
        return reverse("notifications:inbox")
    except NoReverseMatch:
        return "/"


def write_payload(content: dict[str, Any], text: str) -> str:
    """Return a declarative message as JSON, with as much of the text as fits."""
    while True:
        notification = {**content, "body": text} if text else content
        payload = json.dumps(
            {"web_push": DECLARATIVE, "notification": notification}, ensure_ascii=False, separators=(",", ":")
        )
        excess = len(payload.encode()) - MAX_PAYLOAD_BYTES
        if excess <= 0 or not text:
            return payload
        # A character has up to four bytes, or six where JSON escapes it.
        text = text[: -max(1, excess // 6) - 1].rstrip() + "…"
        text = "" if text == "…" else text
