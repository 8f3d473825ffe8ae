"""The Pushover channel. https://pushover.net/api and https://pushover.net/api/receipts"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode, urljoin

from django.db import router
from django.urls import NoReverseMatch, reverse

from notifications.channels.base import Rendered
from notifications.channels.content import Content, build_content, shorten
from notifications.channels.http import HTTPChannel, HTTPMessage
from notifications.channels.http_client import HTTPRequest, HTTPResponse
from notifications.core import clock
from notifications.core.tokens import make_token
from notifications.events import NOTIFICATION_EVENTS, NotificationPriority
from notifications.events.inbox import list_offered
from notifications.exceptions import CredentialsFault
from notifications.mail import get_theme
from notifications.models import Delivery
from notifications.outcomes import Blame, Receipt, Verdict

API_URL = "https://api.pushover.net/1/messages.json"
LIMITS_PATH = "apps/limits.json"
"""The address of the limits, from that of the messages."""
CALLBACK = "notifications:pushover_callback"
"""The name of the URL that Pushover calls when a user acknowledges a message."""
PURPOSE = "pushover"
"""The purpose of the token in that URL, which contains the id of a delivery."""
HEADERS = {"Content-Type": "application/x-www-form-urlencoded"}
MESSAGE_LENGTH = 1024
TITLE_LENGTH = 250
URL_LENGTH = 512
URL_TITLE_LENGTH = 100
MAX_URL_IN_TEXT = 900
EMERGENCY = 2
PRIORITIES: Mapping[NotificationPriority, int] = {
    NotificationPriority.CRITICAL: 1,
    NotificationPriority.HIGH: 0,
    NotificationPriority.MEDIUM: -1,
    NotificationPriority.LOW: -2,
}
"""The levels critical, warning, info and debug of ``send_notification()``, in this order."""
MIN_RETRY, MAX_EXPIRE = 30, 10_800
LIMIT_RESET = "X-Limit-App-Reset"
BUSY = 429


@dataclass(frozen=True)
class PushoverMessage:
    """A message as the fields of a form. Those that depend on the time are added when it is sent."""

    fields: Mapping[str, str] = field(repr=False)
    expires_at: datetime | None = None

    @property
    def is_emergency(self) -> bool:
        return self.fields["priority"] == str(EMERGENCY)


class PushoverChannel(HTTPChannel):
    """Send messages to the Pushover app. An address is the key of a user or group, or ``key:device``.

    A CRITICAL notification of an event with the action ``"acknowledge"`` is an emergency: Pushover repeats it until the
    user acknowledges it, which Klaxon records too.

    :param token: the API token of your application.
    :param device: the device, or several with commas, for addresses without one; by default, all devices.
    :param retry: the seconds after which an emergency is repeated, at least 30.
    :param expire: the seconds after which it is no longer repeated, at most 10,800 (three hours).
    :param timeout: the seconds for a request.
    :param url: the address of the API.
    :raises ValueError: if an option is invalid.
    """

    address_kind = "pushover"
    provider = "pushover"
    required_parts = ("txt",)
    optional_parts = ("subject.txt",)

    def __init__(
        self,
        token: str = "",
        device: str = "",
        retry: int = 60,
        expire: int = 3600,
        timeout: float = 10,
        url: str = API_URL,
    ) -> None:
        super().__init__(timeout)
        if not isinstance(token, str) or not token.isalnum():
            raise ValueError("Set the option 'token' to the API token of your application at pushover.net.")
        if not MIN_RETRY <= retry <= expire:
            raise ValueError(f"The option 'retry' must be a number of seconds from {MIN_RETRY} to 'expire'.")
        if expire > MAX_EXPIRE:
            raise ValueError(f"The option 'expire' must be a number of seconds of at most {MAX_EXPIRE}.")
        self.token, self.device, self.retry, self.expire, self.url = token, device, int(retry), int(expire), url
        self.secrets = (token,)

    def check_credentials(self) -> str:
        """Ask for the limits of the application. https://pushover.net/api#limits"""
        url = f"{urljoin(self.url, LIMITS_PATH)}?{urlencode({'token': self.token})}"
        answer: Any = self.ask(HTTPRequest(url, method="GET"), ("token",)).json()
        found = answer if isinstance(answer, dict) else {}
        if found.get("remaining") == 0:
            raise CredentialsFault(
                f"The application has sent all {found.get('limit')} messages of this month.",
                remedy="Buy more messages at pushover.net, or wait for the next month.",
            )
        return f"Pushover accepts the token. {found.get('remaining')} messages of this month are left."

    def prepare(self, delivery: Delivery, rendered: Rendered) -> PushoverMessage:
        content = build_content(delivery, rendered)
        user, _colon, device = delivery.address.partition(":")
        fields = {"token": self.token, "user": user, "timestamp": str(int(content.at.timestamp()))}
        if device or self.device:
            fields["device"] = device or self.device
        priority = PRIORITIES[content.priority]
        if content.priority == NotificationPriority.CRITICAL and wants_acknowledgement(delivery):
            priority = EMERGENCY
            fields["retry"] = str(self.retry)
            if callback := build_callback_url(delivery):
                fields["callback"] = callback
        fields |= {"priority": str(priority), **_build_text(content)}
        return PushoverMessage(fields, delivery.notification.expires_at)

    def post(self, message: Any) -> Receipt:
        body = urlencode({**message.fields, **self._build_times(message)}).encode()
        self.secrets = (self.token, message.fields["user"])
        receipt = super().post(HTTPMessage(HTTPRequest(self.url, body, HEADERS)))
        return replace(receipt, message=message)

    def find_message_id(self, response: HTTPResponse) -> str:
        """Return the receipt of an emergency, or else the id of the request."""
        answer = response.json()
        if not isinstance(answer, dict):
            return ""
        return str(answer.get("receipt") or answer.get("request") or "")

    def read_response(self, message: HTTPMessage, response: HTTPResponse) -> Receipt:
        answer = response.json()
        answer = answer if isinstance(answer, dict) else {}
        if response.is_success and answer.get("status", 1) == 1:
            return self.accept(message, response)
        verdict, blames = self.judge_status(400 if response.is_success else response.status)
        if response.status < 500 and response.status != BUSY:
            # Pushover names the fields that it refuses, such as {"user": "invalid"}.
            if "token" in answer:
                verdict, blames = Verdict.CONFIGURATION, Blame.PROVIDER
            elif "user" in answer or "device" in answer:
                verdict, blames = Verdict.PERMANENT, Blame.RECIPIENT
        receipt = self.refuse(message, response, verdict, blames)
        if response.status == BUSY and receipt.retry_after is None:
            return replace(receipt, retry_after=_read_reset(response))
        return receipt

    def describe(self, response: HTTPResponse) -> str:
        answer = response.json()
        errors = answer.get("errors") if isinstance(answer, dict) else None
        if isinstance(errors, list):
            text = "; ".join(str(error) for error in errors if isinstance(error, str))
            return self.hide(f"{response.status} {response.reason}: {text}")[:300]
        return super().describe(response)

    def _build_times(self, message: PushoverMessage) -> Mapping[str, str]:
        """Return the field for the time after which the message is worthless."""
        left = None
        if message.expires_at is not None:
            now = clock.cached_now(router.db_for_write(Delivery))
            left = max(1, int((message.expires_at - now).total_seconds()))
        if message.is_emergency:
            return {"expire": str(min(self.expire, max(left, self.retry)) if left else self.expire)}
        return {"ttl": str(left)} if left else {}


def _build_text(content: Content) -> Mapping[str, str]:
    text = content.text or content.title
    # Without a title, Pushover shows the name of the application.
    fields = {"title": shorten(content.title, TITLE_LENGTH)} if content.text else {}
    if 0 < len(content.url) <= URL_LENGTH:
        fields |= {"url": content.url, "url_title": shorten(content.url_label, URL_TITLE_LENGTH)}
    elif 0 < len(content.url) <= MAX_URL_IN_TEXT:
        # Too long for its field, so that the text gets the remaining space.
        text = f"{shorten(text, MESSAGE_LENGTH - len(content.url) - 2)}\n\n{content.url}"
    return {**fields, "message": shorten(text, MESSAGE_LENGTH)}


def wants_acknowledgement(delivery: Delivery) -> bool:
    """Return whether the notification has the action ``"acknowledge"``."""
    notification = delivery.notification
    event = NOTIFICATION_EVENTS.named(notification.event)
    if event is None or not event.actions or notification.digest_kind:
        return False
    return "acknowledge" in list_offered(event.inbox_actions, notification.values)


def build_callback_url(delivery: Delivery) -> str:
    """Return the URL that records an acknowledgement; empty if the site has no address or does not include it."""
    base_url = get_theme(delivery.notification.cluster, delivery.notification.event).base_url
    try:
        path = reverse(CALLBACK, args=[make_token(PURPOSE, delivery.pk)])
    except NoReverseMatch:
        return ""
    return base_url + path if base_url else ""


def _read_reset(response: HTTPResponse) -> float | None:
    """Return the seconds until the application may send again."""
    value = str(response.headers.get(LIMIT_RESET, "")).strip()
    return max(0.0, int(value) - time.time()) if value.isascii() and value.isdigit() else None
