"""What messages of chat and push services consist of: a title, a text, a link and a priority."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urljoin, urlsplit

from django.utils.translation import gettext as _

from notifications.channels.base import Rendered
from notifications.channels.characters import find_boundary, find_limit
from notifications.events import NOTIFICATION_EVENTS, NotificationPriority
from notifications.events.inbox import describe_item
from notifications.mail import get_theme
from notifications.models import Delivery

COLORS: Mapping[NotificationPriority, str] = {
    NotificationPriority.CRITICAL: "#e5484d",
    NotificationPriority.HIGH: "#c76a00",
    NotificationPriority.MEDIUM: "#3b82f6",
    NotificationPriority.LOW: "#808488",
}
"""The colors of priorities. Each stands out from the white and from the dark background of chat services."""
ELLIPSIS = "…"
URL_PATTERN = re.compile(r"https?://[^\s<>\"|\\^`{}]+")
# The end of a sentence or a bracket around a URL is not a part of it.
AFTER_URL = ".,;:!?)]'’”*_~"
UNSAFE_IN_URL = re.compile(r"[\"<>|\\^`{}]")
WHOLE_TITLE_LENGTH = 120
"""No service cuts a shorter title, even after it is escaped."""
MAX_URL_LENGTH = 2048
"""Longer addresses do not work everywhere, so messages have no button for them."""


@dataclass(frozen=True)
class Content:
    """What a message says. Its representation shows none of it.

    :param title: one line, never empty.
    :param text: it is empty if there is none, or if the title says the same.
    :param url: where the message leads, an ``http`` or ``https`` address; empty if nowhere.
    :param url_label: the text of the link; empty if there is none.
    :param sender: the name of the site or cluster; it can be empty.
    :param at: when the notification was sent, aware.
    """

    title: str
    text: str
    priority: NotificationPriority
    url: str
    url_label: str
    sender: str
    at: datetime

    def __repr__(self) -> str:
        return f"Content(priority={self.priority.name})"

    @property
    def color(self) -> str:
        """The color of the priority, as ``#rrggbb``."""
        return COLORS[self.priority]


def build_content(delivery: Delivery, rendered: Rendered) -> Content:
    """Return what a delivery says on a channel without HTML.

    It leads to the ``action_url`` of the templates' variables or, without one, to the ``url`` that the event declares
    for its items in the inbox. That of a sensitive event leads only to the page with its content.

    :raises ValueError: if the URL that the event declares is not valid.
    """
    notification = delivery.notification
    theme = get_theme(notification.cluster, notification.event)
    url = clean_url(rendered.action_url) or _find_item_url(delivery, rendered, theme.base_url)
    title = " ".join(next(filter(is_visible, (rendered.subject, rendered.label)), notification.event).split())
    text = rendered.text.strip() if is_visible(rendered.text) else ""
    return Content(
        title=title,
        # Free text without a title would be shown twice.
        text="" if text == title and len(title) <= WHOLE_TITLE_LENGTH else text,
        priority=NotificationPriority(notification.priority),
        url=url,
        url_label=" ".join(rendered.action_label.split()) or _("Open") if url else "",
        sender=theme.name,
        at=max(notification.created_at, notification.send_at or notification.created_at),
    )


def _find_item_url(delivery: Delivery, rendered: Rendered, base_url: str) -> str:
    notification = delivery.notification
    event = NOTIFICATION_EVENTS.named(notification.event)
    if event is None or not event.url or rendered.is_sensitive or notification.digest_kind:
        return ""
    url = describe_item(event, notification.values).url
    return clean_url(urljoin(f"{base_url}/", url)) if url else ""


def clean_url(url: str) -> str:
    """Return a URL in which services find no other markup; empty if it is no complete ``http`` or ``https`` address."""
    if not url.isprintable() or " " in url:
        return ""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return ""
    if len(url) > MAX_URL_LENGTH:
        return ""
    return UNSAFE_IN_URL.sub(lambda found: f"%{ord(found[0]):02X}", url)


def is_visible(text: str) -> bool:
    """Return whether a text contains more than space and invisible characters."""
    return any(letter.isprintable() and not letter.isspace() for letter in text)


def shorten(text: str, length: int) -> str:
    """Return a text of at most ``length`` characters, which ends with an ellipsis if it was cut.

    It is cut neither within what is shown as one character, such as an emoji with a skin tone, nor within a URL, unless
    nothing else would remain.
    """
    if len(text) <= length:
        return text
    if length <= len(ELLIPSIS):
        return ELLIPSIS[:length]
    end, urls = length - len(ELLIPSIS), find_urls(text[: length + MAX_URL_LENGTH])
    # An ellipsis directly after a URL would become a part of it, so a URL also needs space for a blank.
    for start, stop in urls:
        if start < end and stop > length - 2:
            end = start or end
            break
    kept = text[: find_boundary(text, end)].rstrip()
    return f"{kept} {ELLIPSIS}" if any(stop == len(kept) for _start, stop in urls) else kept + ELLIPSIS


def shorten_written(text: str, length: int, write: Callable[[str], str]) -> str:
    """Return a text as ``write()`` writes it, shortened before so that the result has at most ``length`` characters.

    :param write: a function that escapes a text, which can make it longer.
    """
    return write(
        shorten(text, find_limit(min(length, len(text)), lambda limit: len(write(shorten(text, limit))) <= length))
    )


def find_urls(text: str) -> list[tuple[int, int]]:
    """Return where the ``http`` and ``https`` addresses of a text begin and end."""
    found = []
    for match in URL_PATTERN.finditer(text):
        url = match[0].rstrip(AFTER_URL)
        # A bracket in the middle of an address belongs to it.
        if url.count("(") > url.count(")") and text[match.start() + len(url) :][:1] == ")":
            url += ")"
        if clean_url(url):
            found.append((match.start(), match.start() + len(url)))
    return found


def write_with_urls(text: str, write_text: Callable[[str], str], write_url: Callable[[str], str]) -> str:
    """Return a text whose URLs and other parts are written by two functions."""
    parts, end = [], 0
    for start, stop in find_urls(text):
        parts += [write_text(text[end:start]), write_url(text[start:stop])]
        end = stop
    return "".join([*parts, write_text(text[end:])])
