"""Rendering: from a notification and a recipient to the text for one channel."""

from collections.abc import Sequence
from typing import Any

from notifications.channels.base import Rendered
from notifications.delivering.rendering.digest import build_digest_variables, get_template_places
from notifications.delivering.rendering.locales import Locale, get_locale
from notifications.delivering.rendering.templates import find_template_errors, render
from notifications.delivering.rendering.variables import build_variables
from notifications.events import NotificationEvent
from notifications.models import Notification

__all__ = ["find_template_errors", "get_locale", "get_template_places", "render", "render_notification"]


def render_notification(
    notification: Notification,
    event: NotificationEvent,
    channel: str,
    parts: tuple[Sequence[str], Sequence[str]],
    user: Any,
    locale: Locale,
) -> Rendered:
    """Return the text of a notification for a user on a channel.

    :param parts: the template parts that the channel requires, and the optional ones.
    :raises TemplateMissing: if a required part has no template.
    """
    if notification.digest_kind:
        variables = build_digest_variables(notification, channel, next(iter(parts[0]), ""), user, locale)
    else:
        variables = build_variables(event, channel, notification, user, locale)
    return render(get_template_places(event.name, notification.digest_kind, channel), *parts, variables, locale)
