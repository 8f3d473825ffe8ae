"""The part of the layout that is the same for all emails with the same theme, priority and language."""

from dataclasses import dataclass, fields
from functools import cached_property

from django.utils import translation
from django.utils.translation import gettext as _

from notifications.core.languages import cache_by_language, get_direction
from notifications.events import NotificationPriority
from notifications.mail import Theme

PRIORITY_COLORS = {
    NotificationPriority.CRITICAL: "#b42318",
    NotificationPriority.HIGH: "#b54708",
    NotificationPriority.LOW: "#52606d",
}
"""The colors of priorities. Each can be read on white. MEDIUM has the color of the theme."""


# There is one for each language, so that comparing and hashing it costs nothing.
@dataclass(frozen=True, eq=False)
class Words:
    """Klaxon's own texts in the layout, in one language, which can be another than that of the email."""

    language: str
    direction: str
    critical: str
    important: str
    open: str
    choose: str
    unsubscribe: str
    unsubscribe_or_choose: str
    acknowledge: str


@cache_by_language
def get_words(language: str) -> Words:
    """Return Klaxon's own texts in the layout in a language that has a catalogue of them."""
    with translation.override(language):
        return Words(
            language=language,
            direction=get_direction(language),
            critical=_("Critical"),
            important=_("Important"),
            open=_("Open"),
            choose=_("Choose what you get"),
            unsubscribe=_("Unsubscribe"),
            unsubscribe_or_choose=_("Unsubscribe or choose what you get"),
            acknowledge=_("Acknowledge"),
        )


@dataclass(frozen=True)
class Frame:
    """What the layout shows regardless of the recipient and the notification.

    :param direction: the direction of writing, ``"ltr"`` or ``"rtl"``.
    :param words: Klaxon's own texts in the layout.
    :param has_reason: whether the footer says why the recipient gets the email.
    :param has_preferences_link: whether the footer has a link that leads only to the preferences.
    :param has_unsubscribe_link: whether the footer has a link to unsubscribe.
    :param has_shared_link: whether that link leads to the preferences too.
    :param has_acknowledge_link: whether the email has a link to acknowledge the notification.
    """

    theme: Theme
    priority: NotificationPriority
    language: str
    direction: str
    words: Words
    has_reason: bool = False
    has_preferences_link: bool = False
    has_unsubscribe_link: bool = False
    has_shared_link: bool = False
    has_acknowledge_link: bool = False

    @cached_property
    def text_align(self) -> str:
        """The side on which lines begin. Several mail clients do not know the value ``start``."""
        return "right" if self.direction == "rtl" else "left"

    @cached_property
    def heading_padding(self) -> str:
        """The padding of the headings of a table: a gap before the next cell."""
        return "4px 0 4px 16px" if self.direction == "rtl" else "4px 16px 4px 0"

    @cached_property
    def is_critical(self) -> bool:
        return self.priority == NotificationPriority.CRITICAL

    @cached_property
    def is_high(self) -> bool:
        return self.priority == NotificationPriority.HIGH

    @cached_property
    def priority_color(self) -> str:
        return PRIORITY_COLORS.get(self.priority, self.theme.color)

    @cached_property
    def badge_color(self) -> str:
        """The color of the word that names the priority, on white."""
        return PRIORITY_COLORS.get(self.priority, self.theme.link_color)


FRAME_VARIABLES = frozenset(
    {*(field.name for field in fields(Frame)), "text_align", "heading_padding", "is_critical", "is_high"}
    | {"priority_color", "badge_color"}
)
"""The names that templates can use: ``layout.theme``, …"""
