"""Templates are files ``notifications/<event>/<channel>[.<language>].<part>``, found by Django's template loaders.

Parts are ``subject.txt``, ``txt`` and ``html``. Only the language falls back (``email.de-at.txt``, ``email.de.txt``,
``email.txt``); a channel never borrows another's template. A host overrides one of ours, or of another app, by the
usual order of Django's loaders.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from django.conf import settings
from django.template import Context, Engine, Template, TemplateDoesNotExist, TemplateSyntaxError
from django.template.loaders.cached import Loader as CachedLoader

from notifications.channels.rendered import SUBJECT, Rendered
from notifications.context import UNSTORABLE
from notifications.delivering.rendering.locales import Locale, speaking
from notifications.exceptions import TemplateMissing

Place = tuple[str, str]
"""An event, or another folder of templates, and a channel."""


def render(
    places: Sequence[Place],
    required: Sequence[str],
    optional: Sequence[str],
    variables: Mapping[str, Any],
    locale: Locale,
) -> Rendered:
    """Render every part that the channel asks for, in the recipient's language and time zone.

    :param places: the first that has a part provides it.
    :param locale: the language code and the name of the time zone.
    :raises TemplateMissing: if a required part has no template.
    """
    language = locale[0]
    with speaking(locale):
        parts = {part: _part(places, part, language, variables) for part in required}
        for part in optional:
            if (template := _first(places, part, language)) is not None:
                parts[part] = _text_of(template, part, variables)
    return Rendered(parts, language)


def _part(places: Sequence[Place], part: str, language: str, variables: Mapping[str, Any]) -> str:
    template = _first(places, part, language)
    if template is None:
        event, channel = places[0]
        raise TemplateMissing(f"Event {event!r} has no template {name_of(event, channel, part)!r}.")
    return _text_of(template, part, variables)


def _first(places: Sequence[Place], part: str, language: str) -> Template | None:
    return next((found for place in places if (found := find(*place, part, language)) is not None), None)


def _text_of(template: Template, part: str, variables: Mapping[str, Any]) -> str:
    text = template.render(Context(dict(variables), autoescape=part == "html"))
    if UNSTORABLE.search(text):
        raise ValueError(f"{part} came out with a NUL character or half of a surrogate pair.")
    # A subject is a header: whatever the context brings, it stays one line.
    return " ".join(text.split()) if part == SUBJECT else text.strip() + "\n" * bool(text.strip())


def find(event: str, channel: str, part: str, language: str) -> Template | None:
    """The template in the nearest language, or None."""
    engine = Engine.get_default()
    if settings.DEBUG or not isinstance(engine.template_loaders[0], CachedLoader):
        return _looked_up(engine, event, channel, part, language)
    # Django keeps every template that it has read, until the process ends. We also keep which one it was, because
    # finding out costs an exception for each name that does not exist.
    known = _known.setdefault(engine, {})
    key = event, channel, part, language
    if key not in known:
        known[key] = _looked_up(engine, *key)
    return known[key]


_known: WeakKeyDictionary[Engine, dict[tuple[str, str, str, str], Template | None]] = WeakKeyDictionary()


def _looked_up(engine: Engine, event: str, channel: str, part: str, language: str) -> Template | None:
    for name in _names(event, channel, part, language):
        try:
            return engine.get_template(name)
        except TemplateDoesNotExist as error:
            if error.args and error.args[0] != name:
                raise  # a template that this one extends or includes
    return None


def name_of(event: str, channel: str, part: str, language: str = "") -> str:
    return f"notifications/{event}/{channel}{'.' * bool(language)}{language}.{part}"


def _names(event: str, channel: str, part: str, language: str) -> Iterator[str]:
    while language:
        yield name_of(event, channel, part, language)
        language = language.rpartition("-")[0]
    yield name_of(event, channel, part)


def faults(places: Sequence[Place], required: Sequence[str]) -> Iterator[str]:
    """A sentence for each required template that does not exist, or that Django cannot read."""
    for part in required:
        name = name_of(*places[0], part)
        try:
            if _first(places, part, "") is None:
                yield f"The template {name!r} does not exist."
        except TemplateSyntaxError as error:
            yield f"The template {name!r} cannot be read: {error}"
