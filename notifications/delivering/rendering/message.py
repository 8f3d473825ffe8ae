"""The text of one delivery, with everything around it that its channel shows."""

from dataclasses import replace
from typing import Any

from notifications.channels.base import BaseChannel, Rendered
from notifications.delivering.rendering.digest import render_digest
from notifications.delivering.rendering.layout import build_layout
from notifications.delivering.rendering.templates import get_locale, render_notification
from notifications.events import NotificationEvent
from notifications.models import Delivery


def render_delivery(
    delivery: Delivery, event: NotificationEvent, person: Any, channel: BaseChannel, replacement: Rendered | None = None
) -> Rendered:
    """Return the text of a delivery, in the language and time zone of its recipient.

    :param person: the recipient; see ``notifications.sending.gates.Person``.
    :param replacement: the text that a feature has rendered, if it replaces the template files.
    :raises TemplateMissing: if a required part has no template.
    """
    notification, locale = delivery.notification, get_locale(person.settings)
    parts = channel.required_parts, channel.optional_parts
    layout = build_layout(delivery, event, person, [*parts[0], *parts[1]], locale)
    rendered = replacement
    if rendered is None:
        render = render_digest if notification.digest_kind else render_notification
        rendered = render(notification, event, delivery.channel, parts, person.user, locale, layout)
    return replace(rendered, footer=layout.footer)
