"""The variables of templates: the context, the variables of the event's transform, and a few about the recipient."""

import logging
from typing import Any

from notifications import conf
from notifications.core.translations import has_lazy_text, resolve_lazy_texts
from notifications.delivering.rendering.locales import Locale, use_locale
from notifications.events import NotificationEvent
from notifications.models import Notification

COMMON_VARIABLES = frozenset({"recipient", "cluster", "base_url", "original"})
"""The variables that every template gets in addition to the context."""

logger = logging.getLogger("notifications.rendering")


def build_variables(
    event: NotificationEvent, channel: str, notification: Notification, user: Any, locale: Locale
) -> dict[str, Any]:
    """Return the common variables, and the context as the transform changes it.

    ``original`` is the unchanged context.
    """
    original = _translate_context(notification, locale)
    return {
        "recipient": user,
        "cluster": notification.cluster,
        "base_url": conf.current().base_url.rstrip("/"),
        **original,
        **_transform(event, channel, notification, locale),
        "original": original,
    }


def _translate_context(notification: Notification, locale: Locale) -> dict[str, Any]:
    """Return the context, with lazy translations as text in the recipient's language."""
    values = notification.values
    if not has_lazy_text(values):
        return values
    with use_locale(locale):
        translated: dict[str, Any] = resolve_lazy_texts(values)
        return translated


def _transform(event: NotificationEvent, channel: str, notification: Notification, locale: Locale) -> dict[str, Any]:
    transform = event.transform_for(channel)
    if transform is None:
        return {}
    try:
        with use_locale(locale):
            return dict(transform(_translate_context(notification, locale)))
    except Exception:
        # A critical event is sent without the transform. For any other event the delivery fails.
        if not event.bypasses_preferences:
            raise
        logger.exception("The %s transform of critical event %r failed, so it is not used.", channel, event.name)
        return {}
