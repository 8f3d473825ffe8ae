"""Template files ``notifications/<event>/<channel>[.<language>].<part>``, found by Django's template loaders.

Parts are ``subject.txt``, ``txt`` and ``html``. Only the language falls back (``email.de-at.txt``, ``email.de.txt``,
``email.txt``); a channel never uses a template of another channel. A host overrides a template of Klaxon or another app
by the usual order of Django's loaders.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from django.conf import settings
from django.template import Context, Engine, Template, TemplateDoesNotExist, TemplateSyntaxError
from django.template.loaders.cached import Loader as CachedLoader

from notifications.channels.base import SUBJECT, Rendered
from notifications.context import UNSTORABLE
from notifications.delivering.rendering.locales import Locale, use_locale
from notifications.exceptions import TemplateMissing

Place = tuple[str, str]
"""An event or another folder of templates, and a channel."""


def render(
    places: Sequence[Place],
    required: Sequence[str],
    optional: Sequence[str],
    variables: Mapping[str, Any],
    locale: Locale,
) -> Rendered:
    """Render the parts of a channel in the recipient's language and time zone.

    :param places: where to search. The first place that has a part provides it.
    :param locale: the language code and the name of the time zone.
    :raises TemplateMissing: if a required part has no template.
    """
    language = locale[0]
    with use_locale(locale):
        parts = {part: _render_required(places, part, language, variables) for part in required}
        for part in optional:
            if (template := _find_first(places, part, language)) is not None:
                parts[part] = _render_template(template, part, variables)
    return Rendered(parts, language)


def _render_required(places: Sequence[Place], part: str, language: str, variables: Mapping[str, Any]) -> str:
    template = _find_first(places, part, language)
    if template is None:
        event, channel = places[0]
        raise TemplateMissing(f"Event {event!r} has no template {get_template_name(event, channel, part)!r}.")
    return _render_template(template, part, variables)


def _find_first(places: Sequence[Place], part: str, language: str) -> Template | None:
    return next((found for place in places if (found := find_template(*place, part, language)) is not None), None)


def _render_template(template: Template, part: str, variables: Mapping[str, Any]) -> str:
    text = template.render(Context(dict(variables), autoescape=part == "html"))
    if UNSTORABLE.search(text):
        raise ValueError(f"The rendered {part} contains a NUL character or half of a surrogate pair.")
    # A subject is a header, so it must be one line regardless of the context.
    return " ".join(text.split()) if part == SUBJECT else text.strip() + "\n" * bool(text.strip())


def find_template(event: str, channel: str, part: str, language: str) -> Template | None:
    """Return the template in the closest language, or None."""
    engine = Engine.get_default()
    if settings.DEBUG or not isinstance(engine.template_loaders[0], CachedLoader):
        return _load_template(engine, event, channel, part, language)
    # Django caches every template that it has read. This also caches which name exists, because each name that does
    # not exist costs an exception.
    cached = _cache.setdefault(engine, {})
    key = event, channel, part, language
    if key not in cached:
        cached[key] = _load_template(engine, *key)
    return cached[key]


_cache: WeakKeyDictionary[Engine, dict[tuple[str, str, str, str], Template | None]] = WeakKeyDictionary()


def _load_template(engine: Engine, event: str, channel: str, part: str, language: str) -> Template | None:
    for name in _candidate_names(event, channel, part, language):
        try:
            return engine.get_template(name)
        except TemplateDoesNotExist as error:
            if error.args and error.args[0] != name:
                raise  # a template that this one extends or includes
    return None


def get_template_name(event: str, channel: str, part: str, language: str = "") -> str:
    return f"notifications/{event}/{channel}{'.' * bool(language)}{language}.{part}"


def _candidate_names(event: str, channel: str, part: str, language: str) -> Iterator[str]:
    while language:
        yield get_template_name(event, channel, part, language)
        language = language.rpartition("-")[0]
    yield get_template_name(event, channel, part)


def find_template_errors(places: Sequence[Place], required: Sequence[str]) -> Iterator[str]:
    """Yield a sentence for each required template that does not exist or that Django cannot read."""
    for part in required:
        name = get_template_name(*places[0], part)
        try:
            if _find_first(places, part, "") is None:
                yield f"The template {name!r} does not exist."
        except TemplateSyntaxError as error:
            yield f"The template {name!r} cannot be read: {error}"
