"""What templates can name: the context, what the event's transform adds, and a few words about the recipient."""

import logging
import re
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings
from django.utils import timezone, translation

from notifications import conf
from notifications.events import NotificationEvent
from notifications.models import Notification, UserSettings

logger = logging.getLogger("notifications.rendering")

LANGUAGE = re.compile(r"[a-z]{1,8}(-[a-z0-9]{1,8})*")


def locale_of(chosen: UserSettings | None) -> tuple[str, str]:
    """The language code and time zone name that a recipient chose, or the site's."""
    language = (chosen.language if chosen else "") or settings.LANGUAGE_CODE
    return _well_formed(language), _known_zone(chosen.time_zone if chosen else "")


def _well_formed(language: str) -> str:
    """``de_AT`` and ``DE-at`` are ``de-at``; what can be no language at all gives way to the site's."""
    code = language.strip().lower().replace("_", "-")
    return code if LANGUAGE.fullmatch(code) else settings.LANGUAGE_CODE.lower()


def _known_zone(name: str) -> str:
    """A zone that this machine knows; a wrong one in somebody's settings must not keep their mail back."""
    site = timezone.get_default_timezone_name()
    try:
        return ZoneInfo(name or site).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        logger.warning("A user's time zone %r is unknown; %s is used.", name, site)
        return site


def variables(
    event: NotificationEvent, channel: str, notification: Notification, user: Any, locale: tuple[str, str]
) -> dict[str, Any]:
    """The context under its own names, changed by the transform; ``original`` keeps it untouched."""
    original = notification.values
    return {
        "recipient": user,
        "cluster": notification.cluster,
        "base_url": conf.current().base_url.rstrip("/"),
        **original,
        **_transformed(event, channel, notification.values, locale),
        "original": original,
    }


def _transformed(
    event: NotificationEvent, channel: str, values: dict[str, Any], locale: tuple[str, str]
) -> dict[str, Any]:
    transform = event.transform_for(channel)
    if transform is None:
        return {}
    try:
        with translation.override(locale[0]), timezone.override(locale[1]):
            return dict(transform(values))
    except Exception:
        # A critical event is sent with what exists; any other is told as an error of its delivery.
        if not event.bypasses_preferences:
            raise
        logger.exception("The %s transform of critical event %r failed; sent without it.", channel, event.name)
        return {}
