"""What a push message says beside its text: where it leads, its icon, and the tag by which it replaces itself."""

import base64
import hashlib
import unicodedata
from collections.abc import Callable
from urllib.parse import urljoin

from django.urls import NoReverseMatch, reverse

from notifications.channels.base import Rendered
from notifications.events import NOTIFICATION_EVENTS, NotificationPriority
from notifications.events.inbox import describe_item, is_image
from notifications.mail import get_theme
from notifications.models import Delivery

ELLIPSIS = "…"
ZERO_WIDTH_JOINER, VARIATION_SELECTOR = "\u200d", "\ufe0f"
SKIN_TONES = range(0x1F3FB, 0x1F400)
URGENCIES = {
    NotificationPriority.CRITICAL: "high",
    NotificationPriority.HIGH: "high",
    NotificationPriority.MEDIUM: "normal",
    NotificationPriority.LOW: "low",
}
"""The values of the header ``Urgency`` (RFC 8030, 5.3)."""


def make_tag(delivery: Delivery) -> str:
    """Return a text of 32 characters, the same for each attempt. It names neither the event nor the recipient."""
    key = f"{delivery.notification_id}:{delivery.recipient_key}"
    return base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest()[:24]).decode()


def find_destination(delivery: Delivery, rendered: Rendered) -> tuple[str, str]:
    """Return the URLs where the message leads and of its icon, as the event declares them for the inbox."""
    notification = delivery.notification
    event = NOTIFICATION_EVENTS.named(notification.event)
    url = icon = ""
    if event is not None and event.describes_items and not rendered.is_sensitive:
        url, icon, _group, _actions = describe_item(event, notification.values)
    base = get_theme(notification.cluster, notification.event).base_url
    has_image = bool(icon) and is_image(icon)
    return urljoin(f"{base}/", url or _get_inbox_path()), urljoin(f"{base}/", icon) if has_image else ""


def _get_inbox_path() -> str:
    try:
        return reverse("notifications:inbox")
    except NoReverseMatch:
        return "/"


def cut_to_fit(text: str, measure: Callable[[str], int], limit: int) -> str:
    """Return as much of a text as fits, with an ellipsis if it is cut, or an empty text.

    It is cut between characters as people see them: never before an accent, and not inside an emoji that consists of
    several code points.

    :param measure: returns the size of the message with a text. A longer text must not make it smaller.
    """
    if measure(text) <= limit:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if measure(text[:middle] + ELLIPSIS) <= limit:
            low = middle
        else:
            high = middle - 1
    while 0 < low < len(text) and _belongs_together(text[low - 1], text[low]):
        low -= 1
    kept = text[:low].rstrip()
    return kept + ELLIPSIS if kept else ""


def _belongs_together(before: str, after: str) -> bool:
    return (
        before == ZERO_WIDTH_JOINER
        or after in (ZERO_WIDTH_JOINER, VARIATION_SELECTOR)
        or ord(after) in SKIN_TONES
        or unicodedata.combining(after) > 0
    )
