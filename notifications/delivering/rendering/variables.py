"""What templates can name: the context, what the event's transform adds, and a few words about the recipient."""

import logging
from typing import Any

from notifications import conf
from notifications.core.translations import has_lazy_text, resolve_lazy_texts
from notifications.delivering.rendering.locales import Locale, speaking
from notifications.events import NotificationEvent
from notifications.models import Notification

GIVEN = frozenset({"recipient", "cluster", "base_url", "original"})
"""What every template gets beside the context."""

logger = logging.getLogger("notifications.rendering")


def variables(
    event: NotificationEvent, channel: str, notification: Notification, user: Any, locale: Locale
) -> dict[str, Any]:
    """The context under its own names, changed by the transform; ``original`` keeps it untouched."""
    original = _values_of(notification, locale)
    return {
        "recipient": user,
        "cluster": notification.cluster,
        "base_url": conf.current().base_url.rstrip("/"),
        **original,
        **_transformed(event, channel, notification, locale),
        "original": original,
    }


def _values_of(notification: Notification, locale: Locale) -> dict[str, Any]:
    """The context with lazy translations as texts in the recipient's language."""
    values = notification.values
    if not has_lazy_text(values):
        return values
    with speaking(locale):
        words: dict[str, Any] = resolve_lazy_texts(values)
        return words


def _transformed(event: NotificationEvent, channel: str, notification: Notification, locale: Locale) -> dict[str, Any]:
    transform = event.transform_for(channel)
    if transform is None:
        return {}
    try:
        with speaking(locale):
            return dict(transform(_values_of(notification, locale)))
    except Exception:
        # A critical event is sent with what exists; any other is told as an error of its delivery.
        if not event.bypasses_preferences:
            raise
        logger.exception("The %s transform of critical event %r failed; sent without it.", channel, event.name)
        return {}
