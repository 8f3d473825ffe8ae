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
ZERO_WIDTH_JOINER = "\u200d"
JOINED = frozenset(f"{ZERO_WIDTH_JOINER}\u200c\u0e33\u0eb3")
"""Characters that belong to the one before them, although they are no marks."""
MARKS = frozenset(["Mn", "Mc", "Me"])
SKIN_TONES, TAGS, FLAG_LETTERS = range(0x1F3FB, 0x1F400), range(0xE0020, 0xE0080), range(0x1F1E6, 0x1F200)
HANGUL_PARTS, HANGUL_ENDINGS, HANGUL_SYLLABLES = range(0x1100, 0x1200), range(0x1160, 0x1200), range(0xAC00, 0xD7A4)
VIRAMA = 9
"""The canonical combining class of viramas."""
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

    It is cut between characters as people see them: never before an accent or a vowel sign, and not inside an emoji
    or a flag that consists of several code points.

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
    while 0 < low < len(text) and _is_inside_character(text, low):
        low -= 1
    kept = text[:low].rstrip()
    return kept + ELLIPSIS if kept else ""


def _is_inside_character(text: str, index: int) -> bool:
    """Return whether a cut before this index would divide what a reader sees as one character (UAX 29)."""
    before, after = text[index - 1], text[index]
    if before == ZERO_WIDTH_JOINER or after in JOINED or unicodedata.category(after) in MARKS:
        return True
    if ord(after) in SKIN_TONES or ord(after) in TAGS or (before, after) == ("\r", "\n"):
        return True
    if ord(after) in FLAG_LETTERS:
        # A flag consists of two of them.
        start = index
        while start and ord(text[start - 1]) in FLAG_LETTERS:
            start -= 1
        return (index - start) % 2 == 1
    if ord(after) in HANGUL_ENDINGS:
        return ord(before) in HANGUL_PARTS or ord(before) in HANGUL_SYLLABLES
    # A virama joins two consonants of an Indic script.
    return unicodedata.combining(before) == VIRAMA and unicodedata.category(after) == "Lo"
