"""Features that render messages instead of the template files, such as the templates that staff edit."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from notifications.channels import BaseChannel
from notifications.channels.base import Rendered

Replacement = Callable[[BaseChannel, Sequence[Any], str], Mapping[int, Rendered | Exception]]
"""Receives a channel, the claimed deliveries of a group and the alias of their database.

Returns, by primary key of the delivery, the text of each message that it renders, or the error of a message that cannot
be rendered. The template files are used for all others. It may raise
:class:`~notifications.exceptions.RenderingUnavailable`; then the whole group waits.
"""

_replacements: list[Replacement] = []


def register_replacement(replacement: Replacement) -> None:
    """Let a function render messages instead of the template files. The last one that is registered comes first."""
    if replacement not in _replacements:
        _replacements.insert(0, replacement)


def render_replacements(channel: BaseChannel, items: Sequence[Any], using: str) -> dict[int, Rendered | Exception]:
    """Return the texts of a group that features render, by primary key of the delivery.

    Features get no sensitive notifications, because they do not know who may see the content.
    """
    texts: dict[int, Rendered | Exception] = {}
    if _replacements and any(item.delivery.notification.is_sensitive for item in items):
        items = [item for item in items if not item.delivery.notification.is_sensitive]
    for replacement in _replacements:
        remaining = [item for item in items if item.delivery.pk not in texts] if texts else items
        texts.update(replacement(channel, remaining, using))
    return texts
