"""The footer of emails: why the recipient gets this email, and the links to preferences and to unsubscribe.

The features that know these register a source when Django starts, so rendering does not import them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.utils.translation import get_language


class LazyText:
    """A text that is made when it is first read.

    :param make: returns the text in a language, which must be active. It is called with the language's code.
    """

    def __init__(self, make: Callable[[str], str]) -> None:
        self._make, self._text = make, None  # type: tuple[Callable[[str], str], str | None]

    def read(self, language: str) -> str:
        if self._text is None:
            self._text = self._make(language)
        return self._text

    def __str__(self) -> str:
        return self.read(get_language())


class FooterShape(NamedTuple):
    """What a footer has. The fields are those of ``Frame``."""

    has_reason: bool
    has_preferences_link: bool
    has_unsubscribe_link: bool
    has_shared_link: bool
    has_acknowledge_link: bool


@dataclass(frozen=True)
class Footer:
    """What the footer of one email contains. Every field can be empty.

    :param reason: a sentence in the recipient's language, such as "You get this because you follow road works."
        Templates get it as a text.
    :param preferences_url: the page where the recipient chooses what to get.
    :param unsubscribe_url: the page where the recipient unsubscribes, which works without logging in.
    :param acknowledge_url: the page where the recipient acknowledges a notification that escalates.
    """

    reason: str | LazyText = ""
    preferences_url: str = ""
    unsubscribe_url: str = ""
    acknowledge_url: str = ""

    @property
    def shape(self) -> FooterShape:
        # One link is enough if both lead to the same page.
        is_shared = self.preferences_url == self.unsubscribe_url
        return FooterShape(
            bool(self.reason),
            bool(self.preferences_url) and not is_shared,
            bool(self.unsubscribe_url),
            is_shared,
            bool(self.acknowledge_url),
        )

    def __getitem__(self, name: str) -> Any:
        """Return a field. Templates look here first, and an error would take longer than the whole lookup."""
        return str(self.reason) if name == "reason" else getattr(self, name)


FooterSource = Callable[[Any, Any, Any], Mapping[str, Any]]
"""A function from a delivery, its event and its person to the fields of :class:`Footer` that it knows.

It is called for every message in the recipient's language, so it must not use the database. The reason can be a
:class:`LazyText`, because not every email shows the footer.
"""
FOOTER_SOURCES: dict[str, FooterSource] = {}


def register_footer_source(name: str, source: FooterSource, is_default: bool = False) -> None:
    """Register a source. The fields that it returns override those of the sources that were registered before it.

    :param is_default: whether all other sources override it, whenever they are registered.
    """
    others = {key: value for key, value in FOOTER_SOURCES.items() if key != name}
    FOOTER_SOURCES.clear()
    FOOTER_SOURCES.update({name: source, **others} if is_default else {**others, name: source})


def build_footer(delivery: Any, event: Any, person: Any) -> Footer:
    """Return the footer of a delivery, in the active language.

    :param person: the recipient, with the user and the settings; see ``notifications.sending.gates.Person``.
    """
    fields: dict[str, Any] = {}
    for source in FOOTER_SOURCES.values():
        fields.update(source(delivery, event, person))
    return Footer(**fields)
