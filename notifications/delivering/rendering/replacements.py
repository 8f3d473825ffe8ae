"""Features that render messages instead of the template files, such as the templates that staff edit."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.utils.safestring import mark_safe

from notifications.channels import BaseChannel
from notifications.channels.base import HTML, Rendered
from notifications.delivering.rendering.layout import Layout
from notifications.delivering.rendering.templates import Place, render_parts

CONTENT_PAGE: Place = ("email", "content")
"""``notifications/email/content.html``, the page that shows HTML in the layout."""
DOCUMENT = re.compile(r"<(?:!doctype|html|body)\b", re.IGNORECASE)


@dataclass(frozen=True)
class ReplacementText:
    """The text of a message that a feature has rendered.

    :param variables: the variables of the message, from which the layout takes the button.
    """

    rendered: Rendered
    variables: Mapping[str, Any] = field(default_factory=dict)


Outcome = ReplacementText | Exception
Replacement = Callable[[BaseChannel, Sequence[Any], str], Mapping[int, Outcome]]
"""Receives a channel, the claimed deliveries of a group and the alias of their database.

Returns, by primary key of the delivery, the text of each message that it renders, or the error of a message that cannot
be rendered. The template files are used for all others. A message with the error
:class:`~notifications.exceptions.RenderingUnavailable` waits; if the function raises it, the whole group does.
"""

_replacements: list[Replacement] = []


def register_replacement(replacement: Replacement) -> None:
    """Let a function render messages instead of the template files. The last one that is registered comes first."""
    if replacement not in _replacements:
        _replacements.insert(0, replacement)


def render_replacements(channel: BaseChannel, items: Sequence[Any], using: str) -> dict[int, Outcome]:
    """Return the texts of a group that features render, by primary key of the delivery.

    Features get no sensitive notifications, because they do not know who may see the content.
    """
    texts: dict[int, Outcome] = {}
    if _replacements and any(item.delivery.notification.is_sensitive for item in items):
        items = [item for item in items if not item.delivery.notification.is_sensitive]
    for replacement in _replacements:
        remaining = [item for item in items if item.delivery.pk not in texts] if texts else items
        texts.update(replacement(channel, remaining, using))
    return texts


def put_into_layout(text: ReplacementText, layout: Layout) -> Rendered:
    """Return a text whose HTML, unless it is a complete document, is the content of the layout of emails.

    The language of the layout must be active.
    """
    rendered = text.rendered
    layout.read_variables(text.variables)
    for part, content in rendered.parts.items():
        layout.add_part(part, content)
    html = rendered.parts.get(HTML, "")
    if not html or DOCUMENT.search(html):
        return rendered
    # The feature has rendered it with autoescape.
    content = mark_safe(html)  # noqa: S308
    page = render_parts([CONTENT_PAGE], [HTML], [], {"layout": layout, "content": content}, layout.frame.language)
    return replace(rendered, parts={**rendered.parts, **page})
