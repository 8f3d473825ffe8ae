"""The two bodies of an email, text and HTML: each is derived from the other if it has no template."""

import logging
from collections.abc import Collection, Mapping
from typing import Any

from notifications.channels.base import HTML, TEXT
from notifications.core import extras
from notifications.delivering.rendering.layout import Layout
from notifications.delivering.rendering.plain_text import extract_text
from notifications.delivering.rendering.templates import Place, render_layout_text, render_parts
from notifications.exceptions import TemplateMissing

logger = logging.getLogger("notifications.rendering")

LAYOUT_FOLDER = "email"
"""The folder of the layout of emails."""
TEXT_PAGE: Place = (LAYOUT_FOLDER, "text")
"""``notifications/email/text.html``, the page that shows a text in the layout."""
TEXT_FOOTER: Place = (LAYOUT_FOLDER, "footer")
"""``notifications/email/footer.txt``, which is added to texts."""
MAX_HTML_BYTES = 102 * 1024
"""The size at which Gmail cuts the HTML of an email, and with it the link to unsubscribe."""


def complete_bodies(parts: Mapping[str, str], derived: Collection[str], layout: Layout) -> dict[str, str]:
    """Return the parts with the footer of the text, and with the text or HTML that has no template.

    The language of the layout must be active.

    :param derived: the parts that the channel lets Klaxon derive.
    :raises TemplateMissing: if neither text nor HTML has a template.
    :raises MissingExtra: if the text must be derived and inscriptis is not installed.
    """
    completed = dict(parts)
    if TEXT not in parts and HTML not in parts:
        raise TemplateMissing(f"The event {layout.label!r} has a template neither for {TEXT!r} nor for {HTML!r}.")
    if HTML not in parts and HTML in derived:
        completed[HTML] = render_parts([TEXT_PAGE], [HTML], [], {"layout": layout}, layout.frame.language)[HTML]
    if TEXT not in parts:
        completed[TEXT] = convert_to_text(parts[HTML])
    elif layout.shows_footer or HTML not in completed:
        # A page of the host without Klaxon's layout has its own footer, and so has its text.
        completed[TEXT] = parts[TEXT] + _render_text_footer(parts[TEXT], layout)
    return completed


def convert_to_text(html: str) -> str:
    """Return the text of an HTML page, with the addresses of its links.

    :raises MissingExtra: if inscriptis is not installed.
    """
    extras.import_optional("inscriptis")
    return extract_text(html)


def _render_text_footer(text: str, layout: Layout) -> str:
    """Return what follows a text: the action, unless the text has its address, and the footer."""
    footer = ""
    if layout.action_url and layout.action_url not in text:
        footer = f"\n{layout.action_label}: {layout.action_url}\n"
    if layout.has_text_footer:
        footer += "\n" + render_layout_text(TEXT_FOOTER, layout)
    return footer


def warn_of_clipping(html: str, what: Any) -> None:
    """Log a warning if Gmail would cut the HTML of a delivery."""
    if len(html) * 4 > MAX_HTML_BYTES and (size := len(html.encode())) > MAX_HTML_BYTES:
        logger.warning(
            "The HTML of %s has %d bytes. Gmail shows only the first %d and hides the rest, and with it the footer.",
            what,
            size,
            MAX_HTML_BYTES,
        )
