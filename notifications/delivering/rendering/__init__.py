"""Rendering: from a notification and a recipient to the text of one channel."""

from collections.abc import Sequence
from typing import Any

from notifications.channels.rendered import Rendered
from notifications.delivering.rendering.locales import Locale, locale_of
from notifications.delivering.rendering.merged import gathered_words, places
from notifications.delivering.rendering.templates import faults, render
from notifications.delivering.rendering.variables import variables
from notifications.events import NotificationEvent
from notifications.models import Notification

__all__ = ["faults", "locale_of", "places", "render", "text_for"]


def text_for(
    notification: Notification,
    event: NotificationEvent,
    channel: str,
    parts: tuple[Sequence[str], Sequence[str]],
    user: Any,
    locale: Locale,
) -> Rendered:
    """What this user is told on a channel.

    :param parts: the template parts that the channel requires, and those that it takes where they exist.
    :raises TemplateMissing: if a required part has no template.
    """
    if notification.gathers:
        words = gathered_words(notification, channel, next(iter(parts[0]), ""), user, locale)
    else:
        words = variables(event, channel, notification, user, locale)
    return render(places(event.name, notification.gathers, channel), *parts, words, locale)
