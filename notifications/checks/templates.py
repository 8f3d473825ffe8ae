"""Checks of templates: whether Django finds and reads those that events require, and which variables they use."""

import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured
from django.template import Engine, Template, TemplateDoesNotExist, TemplateSyntaxError

from notifications import conf
from notifications.channels.base import HTML, TEXT
from notifications.checks.channels import missing_extra_error
from notifications.conf import get_channel_class
from notifications.conf.channels import BUILT_IN_CHANNELS
from notifications.conf.problem import find_nearest
from notifications.core import extras
from notifications.delivering.rendering import find_template_errors, get_template_places
from notifications.delivering.rendering.digest import DIGEST_VARIABLES
from notifications.delivering.rendering.templates import (
    COMMON_VARIABLES,
    GENERAL_FOLDER,
    LANGUAGE_PATTERN,
    Place,
    get_template_name,
    try_template,
)
from notifications.delivering.rendering.undeclared_variables import find_undeclared_variables
from notifications.events import DIGESTS, NOTIFICATION_EVENTS, ON_REQUEST, NotificationEvent, key_of
from notifications.models import Notification

Messages = Iterator[CheckMessage]
OWN_TEMPLATE = "notifications/gathered/any.txt"
"""One of Klaxon's own templates. If Django does not find it, it finds none of them."""


def check_templates() -> Messages:
    """Without an engine, or without Klaxon's own templates, every event would be reported separately."""
    engine_errors = [*_check_template_engine()]
    yield from engine_errors or [*_check_required_templates(), *_check_variables()]


def _check_template_engine() -> Messages:
    backend = "'django.template.backends.django.DjangoTemplates'"
    try:
        engine = Engine.get_default()
    except ImproperlyConfigured as error:
        yield Error(
            f"Notifications cannot be rendered: {error}",
            hint=f"Add an entry with the BACKEND {backend} and 'APP_DIRS': True to TEMPLATES.",
            id="klaxon.E032",
        )
        return
    try:
        engine.get_template(OWN_TEMPLATE)
    except TemplateDoesNotExist:
        yield Error(
            f"The first {backend} in TEMPLATES does not find Klaxon's own templates, such as {OWN_TEMPLATE!r}.",
            hint="Set its APP_DIRS to True, or add 'django.template.loaders.app_directories.Loader' to the loaders in "
            "its OPTIONS.",
            id="klaxon.E033",
        )


def _check_required_templates() -> Messages:
    for event, channel, searched in _find_template_places():
        derived = _get_derived_parts(channel)
        if derived and not extras.is_installed("inscriptis") and _has_only_html(searched):
            yield missing_extra_error(f"The text of the email of {event.name!r}", "inscriptis", "mail")
        for fault in find_template_errors(searched, _get_parts(channel)[0], derived):
            yield Error(
                f"The event {event.name!r} supports {channel!r}. {fault}",
                hint="Put templates into the templates folder of an installed app, or into a folder of "
                "TEMPLATES['DIRS'].",
                id="klaxon.E002",
            )


def _find_template_places() -> Iterator[tuple[NotificationEvent, str, Sequence[Place]]]:
    """Yield each event with each of its enabled channels and the places where Klaxon searches for its template."""
    enabled = conf.current().enabled_channels
    for member, event in NOTIFICATION_EVENTS.items():
        for name in dict.fromkeys([*event.named_channels, *event.fallback.values()]):
            # Users cannot ask for a message on a channel that has no template for it.
            if member in ON_REQUEST and name not in BUILT_IN_CHANNELS:
                continue
            # Digests have templates for any channel.
            if name in enabled and member not in DIGESTS.values():
                yield event, name, get_template_places(event.name, "", name)
                if event.batch_seconds:
                    yield event, name, get_template_places(event.name, Notification.DigestKind.BATCH, name)
    for name in map(key_of, conf.current().digest_channels):
        for kind, member in DIGESTS.items() if name in enabled else ():
            yield NOTIFICATION_EVENTS[member], name, get_template_places(member.value, kind, name)


def _get_parts(channel: str) -> tuple[Sequence[str], Sequence[str]]:
    """Return the template parts that a channel requires, and those that are optional."""
    try:
        found = get_channel_class(channel)
        parts = found.required_parts, found.optional_parts
    except (ImportError, AttributeError):
        return (), ()  # E006 reports it
    return parts


def _get_derived_parts(channel: str) -> Sequence[str]:
    try:
        parts: Sequence[str] = get_channel_class(channel).derived_parts
    except (ImportError, AttributeError):
        return ()  # E006 reports it
    return parts


def _has_only_html(searched: Sequence[Place]) -> bool:
    return try_template(searched, HTML)[0] and not any(try_template(searched, TEXT))


def _check_variables() -> Messages:
    for event, channel, searched in _find_template_places():
        variables = _get_variables(event, channel, searched)
        for template in _find_templates(searched[0], [part for parts in _get_parts(channel) for part in parts]):
            for name in find_undeclared_variables(template, variables) if variables else ():
                yield _undeclared_variable_warning(str(template.name), name, event, variables)


def _get_variables(event: NotificationEvent, channel: str, searched: Sequence[Place]) -> Collection[str]:
    """Return the variables that a template can use; empty if they are unknown."""
    if searched[-1][0] == GENERAL_FOLDER:
        return DIGEST_VARIABLES
    if event.context is None or event.transform_for(channel):
        return ()
    return COMMON_VARIABLES | set(event.context)


def _find_templates(place: Place, parts: Sequence[str]) -> Iterator[Template]:
    """Yield the templates of one event and channel, and their translations in the same folder."""
    for part in parts:
        if template := _load_template(get_template_name(*place, part)):
            yield template
            yield from filter(None, map(_load_template, _find_translations(template, place, part, parts)))


def _load_template(name: str) -> Template | None:
    try:
        return Engine.get_default().get_template(name)
    except (TemplateDoesNotExist, TemplateSyntaxError):
        return None  # E002 reports the required ones


def _find_translations(template: Template, place: Place, part: str, parts: Sequence[str]) -> list[str]:
    folder = Path(template.origin.name).parent
    pattern = re.compile(rf"{re.escape(place[1])}\.({LANGUAGE_PATTERN.pattern})\.{re.escape(part)}")
    found = [match for path in sorted(folder.glob("*")) if (match := pattern.fullmatch(path.name))]
    # "email.subject.txt" is a separate part, not a translation of "email.txt".
    return [get_template_name(*place, part, match[1]) for match in found if f"{match[1]}.{part}" not in parts]


def _undeclared_variable_warning(
    template: str, name: str, event: NotificationEvent, variables: Collection[str]
) -> CheckMessage:
    near = find_nearest(name, variables)
    return Warning(
        f"The template {template!r} uses the variable {name!r}, which the event {event.name!r} does not declare.",
        hint=f"Did you mean {near!r}?" if near else f"It can use: {', '.join(sorted(variables))}.",
        id="klaxon.W007",
    )
