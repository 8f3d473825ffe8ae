"""Track the opens and clicks of emails: add an image, and lead links over this site.

Only links to web pages are tracked, and not those of the footer, such as the one that unsubscribes. URLs are stored;
links contain a signed token and nothing about the recipient.
"""

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote, urlsplit

from django.core.exceptions import DisallowedRedirect
from django.core.mail import EmailMultiAlternatives
from django.http import HttpResponseRedirect
from django.urls import NoReverseMatch, reverse
from django.utils import translation

from notifications import conf
from notifications.channels import anymail_errors
from notifications.core import clock
from notifications.core.tokens import make_token
from notifications.events import NOTIFICATION_EVENTS, NotificationEvent
from notifications.mail.theme import get_theme
from notifications.models import Delivery, TrackedLink

OPEN, CLICK = "open", "click"
TOKEN_PAGES = (
    *("notifications:unsubscribe", "notifications:preferences-link", "notifications:confirm-address"),
    "notifications:magic-link",
)
"""The pages whose address is a permit: whoever has it can see or change what is the recipient's."""
UNTRACKED_ATTRIBUTE, FOOTER_CLASS = "data-untracked", "footer-link"
# Names and values of a start tag. A value in quotes may contain what looks like another attribute.
ATTRIBUTE = re.compile(r"""([^\s"'>/=]+)(?:\s*=\s*("[^"]*"|'[^']*'|[^\s"'>][^\s>]*))?""")
# In an attribute, HTML leaves "&copy=1" as it is; html.unescape() would not (HTML, 13.2.5.73).
UNENDED_REFERENCE = re.compile(r"&(?=[a-z][a-z0-9]*(?![a-z0-9;]))", re.IGNORECASE)
LINE_ENDS = re.compile(r"[\t\r\n]")
BODY_END = re.compile(r"</body\s*>", re.IGNORECASE)
# Services that track single mails. With them, Klaxon's own tracking would count twice.
TRACKING_SERVICES = frozenset(
    {"MailerSend", "Mailgun", "Mailjet", "Mandrill", "Postmark", "SendGrid", "SparkPost", "Unisender Go", "Test"}
)


@dataclass(frozen=True)
class Link:
    """A link in HTML: the place of its URL, quotes included, and the URL itself."""

    start: int
    end: int
    url: str


class LinkFinder(HTMLParser):
    """Finds the links to track. The HTML is not changed in any other place, so it is not parsed and written again."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=False)
        self.links: list[Link] = []
        self._line_starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag != "a" or UNTRACKED_ATTRIBUTE in values or FOOTER_CLASS in values.get("class", "").split():
            return
        line, column = self.getpos()
        start = self._line_starts[line - 1] + column
        found = find_href(self.get_starttag_text() or "")
        if found and is_followable(url := read_url(found[2])):
            self.links.append(Link(start + found.start(2), start + found.end(2), url))

    handle_startendtag = handle_starttag


def find_href(tag: str) -> re.Match[str] | None:
    """Return the match of the first ``href`` with a value in the text of an ``<a>``; browsers ignore any other."""
    found = next((match for match in ATTRIBUTE.finditer(tag, len("<a")) if match[1].lower() == "href"), None)
    return found if found and found[2] else None


def read_url(value: str) -> str:
    """Return the URL in the value of an attribute as browsers read it."""
    return LINE_ENDS.sub("", html.unescape(UNENDED_REFERENCE.sub("&amp;", value.strip("\"'")))).strip()


def is_followable(url: str) -> bool:
    """Return whether a URL is that of a web page, and Django redirects to it."""
    if not url.lower().startswith(("https://", "http://")):
        return False
    try:
        HttpResponseRedirect(url)
    except (DisallowedRedirect, ValueError):
        return False
    return True


@dataclass(frozen=True)
class TrackedMail:
    """A mail to track: its HTML, where it is, and the address that tracked links begin with."""

    delivery: Delivery
    event: NotificationEvent
    message: EmailMultiAlternatives
    index: int
    text: str
    base_url: str
    links: Sequence[Link]

    def write(self, keys: Mapping[str, int]) -> None:
        """Replace the links and add the image."""
        text = self.text
        for link in reversed(self.links):
            address = build_click_url(self.base_url, self.delivery.pk, keys[link.url])
            text = f'{text[: link.start]}"{address}"{text[link.end :]}'
        if self.event.track_opens:
            text = add_image(text, build_open_url(self.base_url, self.delivery.pk))
        alternatives: list[Any] = self.message.alternatives
        alternatives[self.index] = alternatives[self.index]._replace(content=text)


def track_messages(channel: Any, prepared: Sequence[tuple[Delivery, Any]], using: str) -> None:
    """Track the mails of events that opt in. If the email service tracks mails itself, it is asked to do so.

    It takes one query for a group, or three if there are new URLs; none if nothing is tracked.
    """
    tracked = list(_find_tracked(prepared))
    if not tracked:
        return
    if is_tracked_by_service(getattr(channel, "connection", None)):
        for _delivery, message, event in tracked:
            message.track_opens, message.track_clicks = event.track_opens, event.track_clicks
        return
    mails = [mail for delivery, message, event in tracked if (mail := _read_mail(delivery, message, event))]
    urls = {link.url for mail in mails for link in mail.links}
    keys = TrackedLink.objects.using(using).store(urls, clock.now(using)) if urls else {}
    for mail in mails:
        mail.write(keys)


def is_tracked_by_service(backend: Any) -> bool:
    """Return whether a backend of anymail can ask its service to track a mail."""
    return isinstance(backend, anymail_errors.BACKENDS) and getattr(backend, "esp_name", "") in TRACKING_SERVICES


def _find_tracked(prepared: Sequence[tuple[Delivery, Any]]) -> Iterator[tuple[Delivery, Any, NotificationEvent]]:
    for delivery, message in prepared:
        event = NOTIFICATION_EVENTS.named(delivery.notification.event)
        if event is not None and event.is_tracked and isinstance(message, EmailMultiAlternatives):
            yield delivery, message, event


def _read_mail(delivery: Delivery, message: EmailMultiAlternatives, event: NotificationEvent) -> TrackedMail | None:
    base_url = get_tracking_url(delivery)
    alternatives: list[Any] = message.alternatives
    for index, alternative in enumerate(alternatives):
        if alternative.mimetype == "text/html" and base_url:
            text = str(alternative.content)
            links = find_links(text) if event.track_clicks else ()
            return TrackedMail(delivery, event, message, index, text, base_url, links)
    return None


def find_links(text: str) -> list[Link]:
    """Return the links to track. Those to the recipient's own pages contain a token, which must not be stored."""
    return [link for link in LinkFinder(text).links if not _has_token(link.url)]


def _has_token(url: str) -> bool:
    """Return whether a link leads to one of ``TOKEN_PAGES``, on any host and in any language."""
    path = unquote(urlsplit(url).path)
    language = translation.get_language_from_path(path) or translation.get_language()
    with translation.override(language):
        return any(path.startswith(start) for name in TOKEN_PAGES if (start := _find_start(name)))


def _find_start(name: str) -> str:
    """Return the path before the token of a page; empty if the site has no such page."""
    try:
        return reverse(name, args=["TOKEN"]).rpartition("TOKEN")[0]
    except NoReverseMatch:
        return ""


def get_tracking_url(delivery: Delivery) -> str:
    """Return the address of the site that tracked links lead over; empty if none is set."""
    own = conf.current().tracking_url.rstrip("/")
    return own or get_theme(delivery.notification.cluster, delivery.notification.event).base_url


def build_open_url(base_url: str, delivery_id: int) -> str:
    return base_url + reverse("notifications:open", args=[make_token(OPEN, delivery_id)])


def build_click_url(base_url: str, delivery_id: int, link_id: int) -> str:
    return base_url + reverse("notifications:click", args=[make_token(CLICK, delivery_id, link_id)])


def add_image(text: str, url: str) -> str:
    """Return HTML with an invisible image at its end."""
    image = f'<img src="{url}" width="1" height="1" alt="" style="display:block;border:0;width:1px;height:1px">'
    ends = list(BODY_END.finditer(text))
    position = ends[-1].start() if ends else len(text)
    return text[:position] + image + text[position:]
