"""Template files ``notifications/<event>/<channel>[.<language>].<part>``, found by Django's template loaders.

Parts are ``subject.txt``, ``txt`` and ``html``. Only the language falls back (``email.de-at.txt``, ``email.de.txt``,
``email.txt``); a channel never uses a template of another channel. A host overrides a template of Klaxon or another app
by the usual order of Django's loaders.

Templates get the context, the variables of the event's transform, and a few about the recipient. They are rendered in
the language and time zone of the recipient.
"""

import logging
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.template import Context, Engine, Template, TemplateDoesNotExist, TemplateSyntaxError
from django.template.loaders.cached import Loader as CachedLoader
from django.utils import timezone, translation

from notifications.channels.base import HTML, SUBJECT, TEXT, Rendered
from notifications.context import UNSTORABLE
from notifications.core.hours import get_zone
from notifications.core.translations import has_lazy_text, resolve_lazy_texts
from notifications.delivering.rendering.flattening import prepare_html
from notifications.delivering.rendering.specializing import has_footer, render_text, specialize
from notifications.events import ON_REQUEST, SYSTEM_EVENTS, BuiltInEvents, NotificationEvent, NotificationPriority
from notifications.exceptions import ContentIsSensitive, TemplateMissing
from notifications.mail import get_theme
from notifications.models import Notification, UserSettings

logger = logging.getLogger("notifications.rendering")

Place = tuple[str, str]
"""An event or another folder of templates, and a channel."""
Parts = tuple[Sequence[str], Sequence[str]]
"""The template parts that a channel requires, and the optional ones."""
Locale = tuple[str, str]
"""A language code and the name of a time zone."""

LANGUAGE_PATTERN = re.compile(r"[a-z]{1,8}(-[a-z0-9]{1,8})*")
COMMON_VARIABLES = frozenset({"recipient", "cluster", "base_url", "original", "layout", "variant"})
"""The variables that every template gets in addition to the context."""
TEMPLATE_FALLBACKS = {BuiltInEvents.CRITICAL_MESSAGE.value: BuiltInEvents.MESSAGE.value}
"""Events that use the templates of another event if they have none of their own."""
ANY_CHANNEL = "any"
EVENTS_FOR_ANY_CHANNEL = frozenset(
    member.value for member in {*ON_REQUEST, *SYSTEM_EVENTS, BuiltInEvents.MESSAGE, BuiltInEvents.WEBHOOK_DISABLED}
)
"""Events whose templates suit any channel with a subject and a text."""
GENERAL_FOLDER = "gathered"
"""The folder of the templates of digests and batches that have none of their own."""


def render_notification(
    notification: Notification,
    event: NotificationEvent,
    channel: str,
    parts: Parts,
    user: Any,
    locale: Locale,
    layout: Any = None,
    reveals_secrets: bool = False,
) -> Rendered:
    """Return the text of a notification that is no digest or batch, for a user on a channel.

    :param locale: the language and the time zone of the user, which must be active.
    :param reveals_secrets: whether only the recipient can see the text; see :func:`build_variables`.
    :raises TemplateMissing: if a required part has no template.
    """
    variables = build_variables(event, channel, notification, user, locale, layout, reveals_secrets)
    places = get_template_places(event.name, "", channel)
    return Rendered(render_parts(places, *parts, variables, locale[0]), locale[0])


def get_locale(user_settings: UserSettings | None) -> Locale:
    """Return the language code and time zone name that a recipient has chosen, or those of the site."""
    code = user_settings.language_code if user_settings else ""
    # An empty or malformed code means the language of the site.
    language = code if LANGUAGE_PATTERN.fullmatch(code) else settings.LANGUAGE_CODE.lower()
    return language, get_zone(user_settings.time_zone if user_settings else "").key


@contextmanager
def use_locale(locale: Locale) -> Iterator[None]:
    """Activate a language and time zone. This costs little if they are already active."""
    language, zone = locale
    if translation.get_language() == language and getattr(timezone.get_current_timezone(), "key", "") == zone:
        yield
    else:
        with translation.override(language), timezone.override(zone):
            yield


def build_variables(
    event: NotificationEvent,
    channel: str,
    notification: Notification,
    user: Any,
    locale: Locale,
    layout: Any = None,
    reveals_secrets: bool = False,
) -> dict[str, Any]:
    """Return the common variables, and the context as the transform changes it.

    ``original`` is the unchanged context.

    :param layout: the layout that shows some of the variables. Its language must be active.
    :param reveals_secrets: whether the caller shows the text only to the recipient and stores it encrypted. Every other
        caller is refused for a sensitive event.
    :raises ContentIsSensitive: if the event is sensitive, and the caller does not say that it may reveal it.
    """
    if notification.is_sensitive and not reveals_secrets:
        raise ContentIsSensitive(f"The event {event.name!r} is sensitive, so only its recipient may see its content.")
    original = _load_context(notification, locale)
    cluster = notification.cluster
    theme = get_theme(cluster, event.name) if layout is None else layout.theme
    variables = {
        "recipient": user,
        "cluster": cluster,
        "base_url": theme.base_url,
        "variant": layout.variant if layout is not None else "",
        **original,
    }
    if event.transform_for(channel) is not None:
        variables.update(_transform(event, channel, notification, locale))
    # The layout must work with every context, so these two override its values.
    variables["original"], variables["layout"] = original, layout
    if layout is not None:
        layout.read_variables(variables)
    return variables


def _load_context(notification: Notification, locale: Locale) -> dict[str, Any]:
    """Return the context, with lazy translations as text in the recipient's language."""
    values = notification.values
    if not has_lazy_text(values):
        return values
    with use_locale(locale):
        translated: dict[str, Any] = resolve_lazy_texts(values)
        return translated


def _transform(event: NotificationEvent, channel: str, notification: Notification, locale: Locale) -> dict[str, Any]:
    transform: Any = event.transform_for(channel)
    try:
        with use_locale(locale):
            return dict(transform(_load_context(notification, locale)))
    except Exception:
        # A critical event is sent without the transform. For any other event the delivery fails.
        if event.priority != NotificationPriority.CRITICAL:
            raise
        logger.exception(
            "The %s transform of critical event %r failed, so it is not used.",
            channel,
            event.name,
            exc_info=not notification.is_sensitive,
        )
        return {}


def render(
    places: Sequence[Place],
    required: Sequence[str],
    optional: Sequence[str],
    variables: Mapping[str, Any],
    locale: Locale,
) -> Rendered:
    """Render the parts of a channel in the recipient's language and time zone.

    :param places: where to search. The first place that has a part provides it.
    :param variables: the variables of the templates. If they contain a ``layout``, it gets each part when it is
        rendered, for the parts after it.
    :param locale: the language code and the name of the time zone.
    :raises TemplateMissing: if a required part has no template.
    """
    with use_locale(locale):
        return Rendered(render_parts(places, required, optional, variables, locale[0]), locale[0])


def render_parts(
    places: Sequence[Place],
    required: Sequence[str],
    optional: Sequence[str],
    variables: Mapping[str, Any],
    language: str,
) -> dict[str, str]:
    """Do the same as :func:`render` in a language that is active already, and return only the parts."""
    parts: dict[str, str] = {}
    layout = variables.get("layout")
    context = Context(dict(variables))
    for part in (*required, *optional):
        template = find_template(places, part, language)
        if template is not None:
            if layout is not None and part == HTML:
                layout.shows_footer = has_footer(template)
                template = specialize(template, layout.frame, True)
            parts[part] = _render_template(template, part, context)
            if layout is not None:
                layout.add_part(part, parts[part])
        elif part in required:
            raise build_missing_error(places[0], part)
    return parts


def render_layout_text(place: Place, layout: Any) -> str:
    """Render a text that gets no variables but the layout and its footer, in the language of the layout.

    The language must be active.

    :raises TemplateMissing: if there is no template.
    """
    template = find_template((place,), TEXT, layout.frame.language)
    if template is None:
        raise build_missing_error(place, TEXT)
    return clean_part(render_text(template, layout, {"layout": layout, "footer": layout.links}), TEXT)


def build_missing_error(place: Place, part: str) -> TemplateMissing:
    return TemplateMissing(f"Event {place[0]!r} has no template {get_template_name(*place, part)!r}.")


def _render_template(template: Template, part: str, context: Context) -> str:
    context.autoescape = part == HTML
    # Variables that tags of a part set do not exist in the parts after it.
    with context.push():
        return clean_part(template.render(context), part)


def clean_part(text: str, part: str) -> str:
    """Return a rendered part without surrounding space, and a subject as one line.

    :raises ValueError: if the text contains characters that cannot be stored.
    """
    if not (text.isascii() and "\0" not in text) and UNSTORABLE.search(text):
        raise ValueError(f"The rendered {part} contains a NUL character or half of a surrogate pair.")
    # A subject is a header, so it must be one line regardless of the context.
    return " ".join(text.split()) if part == SUBJECT else text.strip() + "\n" * bool(text.strip())


def get_template_places(event: str, digest_kind: str, channel: str) -> Sequence[Place]:
    """Return the places to search for templates, the most specific first.

    :param digest_kind: ``"batch"`` or a kind of digest; empty for an ordinary notification.
    """
    if digest_kind:
        name = f"{event}/batch" if digest_kind == Notification.DigestKind.BATCH else event
        return (name, channel), (GENERAL_FOLDER, channel), (GENERAL_FOLDER, ANY_CHANNEL)
    if event in TEMPLATE_FALLBACKS:
        return (event, channel), (TEMPLATE_FALLBACKS[event], channel), (TEMPLATE_FALLBACKS[event], ANY_CHANNEL)
    if event in EVENTS_FOR_ANY_CHANNEL:
        return (event, channel), (event, ANY_CHANNEL)
    return ((event, channel),)


def find_template(places: Sequence[Place], part: str, language: str) -> Template | None:
    """Return the template of a part at the first place that has one, in the closest language, or None."""
    engine = Engine.get_default()
    # Django caches every template that it has read. This also caches which name exists, because each name that does
    # not exist costs an exception. The cache belongs to the engine and ends with it.
    cached: dict[Any, Template | None] = vars(engine).setdefault("klaxon_templates", {})
    key = tuple(places), part, language
    if key in cached:
        return cached[key]
    template = _load_template(engine, *key)
    if isinstance(engine.template_loaders[0], CachedLoader) and not settings.DEBUG:
        cached[key] = template
    return template


def _load_template(engine: Engine, places: Sequence[Place], part: str, language: str) -> Template | None:
    for name in _list_names(places, part, language):
        try:
            template = engine.get_template(name)
        except TemplateDoesNotExist as error:
            if error.args and error.args[0] != name:
                raise  # a template that this one extends or includes
        else:
            return prepare_html(template) if part == HTML else template
    return None


def _list_names(places: Sequence[Place], part: str, language: str) -> Iterator[str]:
    """Yield the names of the templates to try: at each place, the closest language first."""
    for place in places:
        for code in list_languages(language):
            yield get_template_name(*place, part, code)


def list_languages(language: str) -> list[str]:
    """Return a language, its shorter forms and ``""``, as in ``["de-at", "de", ""]``."""
    codes = [language]
    while codes[-1]:
        codes.append(codes[-1].rpartition("-")[0])
    return codes


def get_template_name(event: str, channel: str, part: str, language: str = "") -> str:
    return f"notifications/{event}/{channel}{'.' * bool(language)}{language}.{part}"


def find_template_errors(
    places: Sequence[Place], required: Sequence[str], derived: Collection[str] = ()
) -> Iterator[str]:
    """Yield a sentence for each required template that does not exist or that Django cannot read.

    :param derived: parts of which one is required, because the others are derived from it.
    """
    for part in required:
        found, error = try_template(places, part)
        if not found:
            yield error or f"The template {get_template_name(*places[0], part)!r} does not exist."
    alternatives = {part: try_template(places, part) for part in (TEXT, HTML) if derived}
    yield from filter(None, (error for _found, error in alternatives.values()))
    if derived and not any(found or error for found, error in alternatives.values()):
        names = " nor ".join(repr(get_template_name(*places[0], part)) for part in alternatives)
        yield f"Neither {names} exists."


def try_template(places: Sequence[Place], part: str) -> tuple[bool, str]:
    """Return whether a template exists and can be read, and what is wrong with it if it cannot."""
    try:
        return find_template(places, part, "") is not None, ""
    except TemplateSyntaxError as error:
        return False, f"The template {get_template_name(*places[0], part)!r} cannot be read: {error}"
