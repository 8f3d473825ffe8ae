"""In which language and time zone a recipient is spoken to."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.utils import timezone, translation

from notifications.core.zones import get_zone
from notifications.models import UserSettings

Locale = tuple[str, str]
"""A language code and the name of a time zone."""

LANGUAGE = re.compile(r"[a-z]{1,8}(-[a-z0-9]{1,8})*")


def locale_of(chosen: UserSettings | None) -> Locale:
    """The language code and time zone name that a recipient chose, or the site's."""
    language = chosen.language_code if chosen else ""
    return _well_formed(language), get_zone(chosen.time_zone if chosen else "").key


def _well_formed(code: str) -> str:
    """None, and what can be no language at all, gives way to the site's."""
    return code if LANGUAGE.fullmatch(code) else settings.LANGUAGE_CODE.lower()


@contextmanager
def speaking(locale: Locale) -> Iterator[None]:
    """This language and time zone, which costs nothing where they are active already."""
    language, zone = locale
    if translation.get_language() == language and timezone.get_current_timezone_name() == zone:
        yield
    else:
        with translation.override(language), timezone.override(zone):
            yield
