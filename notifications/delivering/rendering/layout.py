"""The variable ``layout`` of templates: what the layout of an email shows around its content."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urljoin, urlsplit

from django.template.defaultfilters import linebreaks_filter
from django.utils.functional import cached_property
from django.utils.html import escape
from django.utils.safestring import SafeString

from notifications.channels.base import HTML, SUBJECT, TEXT
from notifications.core.languages import find_own_language, get_direction
from notifications.core.variants import find_variant
from notifications.delivering.rendering.frame import FRAME_VARIABLES, Frame, Words, get_words
from notifications.events import NotificationEvent, NotificationPriority
from notifications.mail.footer import Footer, FooterShape, build_footer
from notifications.mail.theme import Theme, get_theme
from notifications.models import Delivery

SAFE_SCHEMES = ("http", "https", "mailto", "tel")
OTHER_HOST = ("/", "\\")
"""The second character of a URL that begins with a slash and names another host. Browsers read both characters so."""
# In escaped text: the base URL alone or followed by a path, up to a space, a quote or a bracket. A point or colon
# within a word would continue the host.
LINK_PATTERN = r"{}(?:(?=[.,;:!?)]*(?:[\s<]|$))|[/?#](?:(?!&(?:quot|lt|gt|#x27);)[^\s<>])*)"
MAX_PREVIEW_LENGTH = 120


@dataclass
class Layout:
    """What the layout of an email shows around the content.

    :param links: the footer, which templates read as ``footer``.
    :param label: the name of the event for users, in the recipient's language.
    :param action_url: the address of the button; empty for no button.
    :param preheader: the text that mailboxes show after the subject, if the event gives one.
    :param subject: the rendered subject, for the parts after it.
    :param text: the rendered text part, for the parts after it.
    :param variant: the variant of the A/B test that the recipient gets; empty if the event has none.
    :param shows_footer: whether the HTML shows the footer.
    """

    frame: Frame
    links: Footer
    label: str
    action_url: str = ""
    action_label: str = ""
    preheader: str = ""
    subject: str = ""
    text: str = ""
    variant: str = ""
    shows_footer: bool = False

    def read_variables(self, variables: Mapping[str, Any]) -> None:
        """Take ``action_url``, ``action_label`` and ``preheader`` from the variables of the event.

        The language of the layout must be active.
        """
        self.action_url = find_action_url(variables, self.theme.base_url)
        self.action_label = str(variables.get("action_label") or "") or (self.action_url and self.frame.words.open)
        self.preheader = str(variables.get("preheader") or "")

    def add_part(self, part: str, text: str) -> None:
        """Keep a rendered part for the parts after it."""
        if part == SUBJECT:
            self.subject = text
        elif part == TEXT:
            self.text = text

    @cached_property
    def preview(self) -> str:
        """The preheader or, without one, the beginning of a text that is longer than twice its length.

        Mailboxes show a short text anyway. Spam filters dislike it if the HTML contains all words twice. Read it only
        after the text part was added.
        """
        if self.preheader or len(self.text) <= 2 * MAX_PREVIEW_LENGTH:
            return self.preheader
        return " ".join(self.text[: 2 * MAX_PREVIEW_LENGTH].split())[:MAX_PREVIEW_LENGTH]

    @property
    def footer(self) -> Footer:
        """The footer. A template that reads it shows it: its tags may, where :func:`has_footer` finds nothing."""
        self.shows_footer = True
        return self.links

    @cached_property
    def reason(self) -> str:
        """Why the recipient gets the email."""
        reason = self.footer.reason
        return reason if isinstance(reason, str) else reason.read(self.frame.language)

    @property
    def theme(self) -> Theme:
        return self.frame.theme

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the frame, for templates."""
        if name in FRAME_VARIABLES:
            return getattr(self.frame, name)
        raise AttributeError(name)

    def __getitem__(self, name: str) -> Any:
        """Return an attribute. Templates look here first, and an error would take longer than the whole lookup."""
        return getattr(self, name)

    @property
    def text_as_html(self) -> SafeString:
        """The text part in paragraphs, with the addresses of the site as links.

        Other addresses may come from users, so they do not become links.
        """
        page = linebreaks_filter(self.text, autoescape=True)
        base_url = self.theme.base_url
        if not base_url or base_url not in self.text:
            return page
        pattern = LINK_PATTERN.format(re.escape(escape(base_url)))
        return SafeString(re.sub(pattern, _make_link, page))

    @property
    def has_text_footer(self) -> bool:
        """Whether the footer of a text has anything to say."""
        frame = self.frame
        return bool(
            frame.has_reason
            or frame.has_preferences_link
            or frame.has_unsubscribe_link
            or frame.has_acknowledge_link
            or frame.theme.postal_address
        )


def _make_link(found: re.Match[str]) -> str:
    url = found[0].rstrip(".,;:!?)")
    return f'<a href="{url}">{url}</a>{found[0][len(url) :]}'


def find_action_url(variables: Mapping[str, Any], base_url: str) -> str:
    """Return the absolute ``action_url`` of the variables, or an empty string if there is none that is safe."""
    url = str(variables.get("action_url") or "").strip()
    if not url:
        return ""
    if base_url and url[:1] == "/" and url[1:2] not in OTHER_HOST:
        return _get_origin(base_url) + url
    absolute = urljoin(f"{base_url}/", url) if base_url else url
    try:
        is_safe = urlsplit(absolute).scheme in SAFE_SCHEMES
    except ValueError:
        return ""
    return absolute if is_safe else ""


@lru_cache(maxsize=64)
def _get_origin(base_url: str) -> str:
    return urljoin(f"{base_url}/", "/").rstrip("/")


def build_layout(
    delivery: Delivery, event: NotificationEvent, person: Any, parts: Sequence[str], language: str
) -> Layout:
    """Return the layout of a delivery.

    :param parts: all template parts of the channel. Only emails, which have HTML, have a footer.
    :param language: the language of the recipient, which must be active.
    """
    notification = delivery.notification
    footer = build_footer(delivery, event, person) if HTML in parts else Footer()
    theme, words = get_theme(notification.cluster, event.name), get_words(find_own_language(language))
    frame = _get_frame(theme, notification.priority, language, words, footer.shape)
    return Layout(frame, footer, event.words, variant=find_variant(event, delivery))


# Most emails have one of a few frames.
@lru_cache(maxsize=256)
def _get_frame(theme: Theme, priority: int, language: str, words: Words, shape: FooterShape) -> Frame:
    return Frame(theme, NotificationPriority(priority), language, get_direction(language), words, *shape)
