"""The values of a context that may be copied into the log."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.utils import translation

from notifications.context.storage import decoded, encoded
from notifications.core.translations import has_lazy_text, resolve_lazy_texts
from notifications.events import NotificationEvent


def select_loggable(event: NotificationEvent, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a stored context that its event marks as loggable.

    Lazy texts are translated into the language of the site. Values that JSON cannot represent are texts.
    """
    inner = stored.get("$dict", stored)
    values = {key: decoded(inner[key]) for key in event.loggable if key in inner}
    if has_lazy_text(values):
        with translation.override(settings.LANGUAGE_CODE):
            values = resolve_lazy_texts(values)
    return {key: value if encoded(value) == value else str(value) for key, value in values.items()}
