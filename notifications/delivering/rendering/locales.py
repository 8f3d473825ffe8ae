"""The language and time zone of a recipient."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.utils import timezone, translation

from notifications.core.hours import get_zone
from notifications.models import UserSettings

Locale = tuple[str, str]
"""A language code and the name of a time zone."""

LANGUAGE_PATTERN = re.compile(r"[a-z]{1,8}(-[a-z0-9]{1,8})*")


def get_locale(user_settings: UserSettings | None) -> Locale:
    """Return the language code and time zone name that a recipient has chosen, or those of the site."""
    language = user_settings.language_code if user_settings else ""
    return _valid_language(language), get_zone(user_settings.time_zone if user_settings else "").key


def _valid_language(code: str) -> str:
    """Return the code, or the language of the site if the code is empty or malformed."""
    return code if LANGUAGE_PATTERN.fullmatch(code) else settings.LANGUAGE_CODE.lower()


@contextmanager
def use_locale(locale: Locale) -> Iterator[None]:
    """Activate a language and time zone. This costs nothing if they are already active."""
    language, zone = locale
    if translation.get_language() == language and timezone.get_current_timezone_name() == zone:
        yield
    else:
        with translation.override(language), timezone.override(zone):
            yield
