"""The variable ``layout`` of templates: what the layout of an email shows around its content."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils import translation

from notifications.channels.base import SUBJECT
from notifications.delivering.rendering.templates import Locale, use_locale
from notifications.events import NotificationEvent, NotificationPriority
from notifications.mail.footer import Footer, build_footer
from notifications.mail.theme import Theme, get_theme
from notifications.models import Delivery

PRIORITY_COLORS = {
    NotificationPriority.CRITICAL: "#b42318",
    NotificationPriority.HIGH: "#b54708",
    NotificationPriority.LOW: "#52606d",
}
"""The colors of priorities. Each can be read on white, and white on it. MEDIUM has the color of the theme."""


@dataclass
class Layout:
    """What the layout shows around the content.

    :param label: the name of the event for users, in the recipient's language.
    :param subject: the rendered subject; empty while it is being rendered.
    :param text: the rendered text part; empty while it is being rendered.
    """

    theme: Theme
    footer: Footer
    label: str
    priority: NotificationPriority
    language: str
    direction: str
    subject: str = ""
    text: str = ""

    def add_part(self, part: str, text: str) -> None:
        if part == SUBJECT:
            self.subject = text
        elif part == "txt":
            self.text = text

    @property
    def is_critical(self) -> bool:
        return self.priority == NotificationPriority.CRITICAL

    @property
    def is_high(self) -> bool:
        return self.priority == NotificationPriority.HIGH

    @property
    def priority_color(self) -> str:
        return PRIORITY_COLORS.get(self.priority, self.theme.color)


def build_layout(
    delivery: Delivery, event: NotificationEvent, person: Any, parts: Sequence[str], locale: Locale
) -> Layout:
    """Return the layout of a delivery.

    :param parts: all template parts of the channel. Only emails, which have HTML, have a footer.
    """
    notification = delivery.notification
    with use_locale(locale):
        return Layout(
            theme=get_theme(notification.cluster, event.name),
            footer=build_footer(delivery, event, person) if "html" in parts else Footer(),
            label=event.words,
            priority=NotificationPriority(notification.priority),
            language=locale[0],
            direction="rtl" if translation.get_language_bidi() else "ltr",
        )
