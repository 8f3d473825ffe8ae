"""The language of Klaxon's own texts: one language for a whole page.

Django translates each text for itself. In a language for which Klaxon has no catalogue, the catalogues of Django and of
the host would still translate the words that they contain, such as "Search" and the names of months, and the rest of
the page would be in another language.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, wraps
from typing import Any, TypeVar

from django.conf import settings
from django.core.signals import setting_changed
from django.http import HttpRequest, HttpResponseBase
from django.utils import translation
from django.utils.translation import pgettext

T = TypeVar("T")
MAX_LANGUAGES = 200
LANGUAGE_SETTINGS = frozenset({"INSTALLED_APPS", "LANGUAGE_CODE", "LANGUAGES", "LOCALE_PATHS", "USE_I18N"})

_caches: list[Callable[[], None]] = []


def cache_by_language(function: Callable[[str], T]) -> Callable[[str], T]:
    """Cache a function of a language code, until a test changes a setting of languages."""
    cached = lru_cache(maxsize=MAX_LANGUAGES)(function)
    _caches.append(cached.cache_clear)
    return cached


def _clear_caches(*, setting: str, **kwargs: Any) -> None:
    if setting in LANGUAGE_SETTINGS:
        for clear in _caches:
            clear()


setting_changed.connect(_clear_caches, dispatch_uid="klaxon.languages")


def find_own_language(language: str | None = None) -> str:
    """Return the language of Klaxon's own texts for a reader of a language.

    It is that language if it has a catalogue of Klaxon's texts, else ``LANGUAGE_CODE`` if that has one, else English.
    The result is cached.

    :param language: by default, the active language.
    """
    return _find_own_language(language or translation.get_language() or settings.LANGUAGE_CODE)


@cache_by_language
def _find_own_language(language: str) -> str:
    for candidate in (language, settings.LANGUAGE_CODE):
        with translation.override(candidate):
            # Translators: the code of your language, such as "de". Without it, Klaxon does not use this catalogue.
            code = pgettext("language code", "en").lower().replace("_", "-")
        # It can also be the code of LANGUAGE_CODE, where Django looks for what a language lacks, or English.
        if f"{candidate.lower()}-".startswith(f"{code}-"):
            return candidate
    return "en"


def get_direction(language: str) -> str:
    """Return the direction in which a language is written, ``"ltr"`` or ``"rtl"``."""
    return "rtl" if language.partition("-")[0] in settings.LANGUAGES_BIDI else "ltr"


@contextmanager
def use_own_language(language: str | None = None) -> Iterator[str]:
    """Activate the language of Klaxon's own texts for a reader of a language, and return it.

    This costs next to nothing if it is already active.

    :param language: by default, the active language.
    """
    code = find_own_language(language)
    if code == translation.get_language():
        yield code
        return
    with translation.override(code):
        yield code


def in_own_language(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Let a view run in the language of Klaxon's own texts, and name that language in ``Content-Language``."""

    @wraps(view)
    def run(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        with use_own_language() as language:
            response = view(request, *args, **kwargs)
        response.headers.setdefault("Content-Language", language)
        return response

    return run
