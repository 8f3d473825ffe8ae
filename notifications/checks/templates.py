"""Checks of templates: whether Django finds and reads those that events need, and what they name."""

import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured
from django.template import Engine, Template, TemplateDoesNotExist, TemplateSyntaxError

from notifications import conf
from notifications.conf.problem import nearest
from notifications.core.channel_classes import channel_class
from notifications.delivering.rendering import faults, places
from notifications.delivering.rendering.locales import LANGUAGE
from notifications.delivering.rendering.merged import FOLDER, GIVEN_WHEN_GATHERED
from notifications.delivering.rendering.templates import Place, name_of
from notifications.delivering.rendering.undeclared import undeclared
from notifications.delivering.rendering.variables import GIVEN
from notifications.events import DIGESTS, NOTIFICATION_EVENTS, NotificationEvent, key_of
from notifications.models import Notification

Found = Iterator[CheckMessage]
OURS = "notifications/gathered/any.txt"
"""One of Klaxon's own templates. If Django does not find it, it finds none of them."""


def check_templates() -> Found:
    """Without an engine, or without our own templates, every event would be told one by one."""
    unusable = [*_engine_faults()]
    yield from unusable or [*_check_templates_of_events(), *_check_variables()]


def _engine_faults() -> Found:
    backend = "'django.template.backends.django.DjangoTemplates'"
    try:
        engine = Engine.get_default()
    except ImproperlyConfigured as error:
        yield Error(
            f"Notifications cannot be rendered: {error}",
            hint=f"Put an entry with the BACKEND {backend} and 'APP_DIRS': True into TEMPLATES.",
            id="klaxon.E032",
        )
        return
    try:
        engine.get_template(OURS)
    except TemplateDoesNotExist:
        yield Error(
            f"The first {backend} in TEMPLATES does not find Klaxon's own templates, such as {OURS!r}.",
            hint="Set its APP_DIRS to True, or add 'django.template.loaders.app_directories.Loader' to the loaders in "
            "its OPTIONS.",
            id="klaxon.E033",
        )


def _check_templates_of_events() -> Found:
    for event, name, where in _places_of_events():
        yield from _missing_templates(event, name, where)


def _places_of_events() -> Iterator[tuple[NotificationEvent, str, Sequence[Place]]]:
    """Each event with a channel that the site has, and where a template for it is looked for."""
    on = conf.current().enabled_channels
    for member, event in NOTIFICATION_EVENTS.items():
        for name in dict.fromkeys([*event.channels, *event.fallback.values()]):
            # Digests have templates for any channel.
            if name in on and member not in DIGESTS.values():
                yield event, name, places(event.name, "", name)
                if event.batch_seconds:
                    yield event, name, places(event.name, Notification.Gathers.BATCH, name)
    for name in map(key_of, conf.current().digest_channels):
        for kind, member in DIGESTS.items() if name in on else ():
            yield NOTIFICATION_EVENTS[member], name, places(member.value, kind, name)


def _missing_templates(event: NotificationEvent, channel: str, where: Sequence[Place]) -> Found:
    for fault in faults(where, _parts(channel)[0]):
        yield Error(
            f"The event {event.name!r} supports {channel!r}. {fault}",
            hint="Templates stand in the templates folder of an installed app, or in a folder of TEMPLATES['DIRS'].",
            id="klaxon.E002",
        )


def _parts(channel: str) -> tuple[Sequence[str], Sequence[str]]:
    """The parts of a template that a channel requires, and those that it takes where they exist."""
    try:
        found = channel_class(channel)
        parts = found.required_parts, found.optional_parts
    except (ImportError, AttributeError):
        return (), ()  # E006 tells of it
    return parts


def _check_variables() -> Found:
    for event, channel, where in _places_of_events():
        given = _given(event, channel, where)
        for template in _templates(where[0], [part for several in _parts(channel) for part in several]):
            for name in undeclared(template, given) if given else ():
                yield _undeclared(str(template.name), name, event, given)


def _given(event: NotificationEvent, channel: str, where: Sequence[Place]) -> Collection[str]:
    """What a template can name; nothing where that is not known."""
    if where[-1][0] == FOLDER:
        return GIVEN_WHEN_GATHERED
    if event.context is None or event.transform_for(channel):
        return ()
    return GIVEN | set(event.context)


def _templates(place: Place, parts: Sequence[str]) -> Iterator[Template]:
    """Those of one event and channel, with the translations that stand in the same folder."""
    for part in parts:
        if template := _template(name_of(*place, part)):
            yield template
            yield from filter(None, map(_template, _translations(template, place, part, parts)))


def _template(name: str) -> Template | None:
    try:
        return Engine.get_default().get_template(name)
    except (TemplateDoesNotExist, TemplateSyntaxError):
        return None  # E002 tells of those that are needed


def _translations(template: Template, place: Place, part: str, parts: Sequence[str]) -> list[str]:
    folder = Path(template.origin.name).parent
    written = re.compile(rf"{re.escape(place[1])}\.({LANGUAGE.pattern})\.{re.escape(part)}")
    found = [match for path in sorted(folder.glob("*")) if (match := written.fullmatch(path.name))]
    # "email.subject.txt" is a part of its own, and in no language.
    return [name_of(*place, part, match[1]) for match in found if f"{match[1]}.{part}" not in parts]


def _undeclared(template: str, name: str, event: NotificationEvent, given: Collection[str]) -> CheckMessage:
    near = nearest(name, given)
    return Warning(
        f"The template {template!r} names {name!r}, which the event {event.name!r} does not declare.",
        hint=f"Did you mean {near!r}?" if near else f"It can name: {', '.join(sorted(given))}.",
        id="klaxon.W007",
    )
