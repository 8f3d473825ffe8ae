"""Whether the templates of each event render on each channel in each language, with invented values."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import Error
from django.template import Engine, TemplateDoesNotExist, TemplateSyntaxError

from notifications import conf
from notifications.conf import get_channel_class
from notifications.context import encoded
from notifications.core import clock
from notifications.delivering.rendering import (
    describe_error,
    find_template_errors,
    get_template_places,
    render_delivery,
    use_locale,
)
from notifications.delivering.rendering.templates import LANGUAGE_PATTERN, get_template_name
from notifications.events import DIGESTS, NOTIFICATION_EVENTS, NotificationEvent, key_of
from notifications.models import Delivery, Notification, get_cluster_model
from notifications.monitoring.doctor.diagnosis import Diagnosis, Status
from notifications.monitoring.doctor.settings import TEMPLATE_CHECKS, report_messages, select_messages
from notifications.monitoring.doctor.site import Site
from notifications.sending.gates.facts import Person
from notifications.staff_templates.past import make_sample_user
from notifications.staff_templates.samples import make_sample

SAMPLE_KEY = 1
"""Stands for the primary key of a row that is not stored."""


def examine_templates(site: Site) -> Iterator[Diagnosis]:
    """Look for the templates, and render those of events that declare their context."""
    messages = select_messages(site, TEMPLATE_CHECKS)
    yield from report_messages(messages)
    languages, count, undeclared = find_languages(), 0, []
    cluster = _find_cluster(site)
    for event in NOTIFICATION_EVENTS.values():
        if event.context is None:
            undeclared.append(event.name)
            continue
        for channel in _list_channels(event):
            faults: defaultdict[str, list[str]] = defaultdict(list)
            for language in _add_translations(languages, event, channel):
                count += 1
                if fault := _find_fault(event, channel, language, cluster):
                    faults[fault].append(language)
            for fault, broken in faults.items():
                yield _report(event, channel, fault, broken)
    detail = f"{count} texts were rendered with invented values, in {_count_languages(languages)}."
    if undeclared:
        shown = ", ".join(sorted(undeclared)[:5])
        detail += f" {len(undeclared)} events declare no context, so theirs were only read: {shown}."
    yield Diagnosis(Status.OK, "templates", detail)


def _find_cluster(site: Site) -> Any:
    """Return a cluster of the site, or one that is not stored if there is none or the database cannot be used."""
    model = get_cluster_model()
    with suppress(Error):
        if not site.database_fault and (found := model._default_manager.order_by("pk").first()):
            return found
    return model(pk=SAMPLE_KEY)


def _count_languages(languages: Sequence[str]) -> str:
    return "one language" if len(languages) == 1 else f"{len(languages)} languages"


def find_languages() -> list[str]:
    """Return the languages of the site: those in ``LANGUAGES`` if it is set, or else ``LANGUAGE_CODE``."""
    is_set = settings.is_overridden("LANGUAGES")  # type: ignore[misc]
    chosen = [code for code, _name in settings.LANGUAGES] if is_set else []
    return list(dict.fromkeys(code.lower() for code in [settings.LANGUAGE_CODE, *chosen]))


def _list_channels(event: NotificationEvent) -> Iterator[str]:
    """Yield the enabled channels for which an event has its templates. A check reports missing ones."""
    if event.name in {member.value for member in DIGESTS.values()}:
        return  # Their content is that of other events.
    named = {key_of(name) for name in (*event.named_channels, *event.fallback.values())}
    for name in sorted(named & conf.current().enabled_channels):
        try:
            backend = get_channel_class(name)
        except (ImportError, AttributeError):
            continue  # E006 reports it
        places = get_template_places(event.name, "", name)
        if not any(find_template_errors(places, backend.required_parts, backend.derived_parts)):
            yield name


def _add_translations(languages: Sequence[str], event: NotificationEvent, channel: str) -> list[str]:
    """Return the languages of the site, and those of translations beside a template."""
    found = set(languages)
    backend = get_channel_class(channel)
    parts = (*backend.required_parts, *backend.optional_parts)
    place = get_template_places(event.name, "", channel)[0]
    for part in parts:
        try:
            template = Engine.get_default().get_template(get_template_name(*place, part))
        except (TemplateDoesNotExist, TemplateSyntaxError):
            continue  # Rendering reports what is wrong.
        pattern = re.compile(rf"{re.escape(channel)}\.({LANGUAGE_PATTERN.pattern})\.{re.escape(part)}")
        files = Path(template.origin.name).parent.glob(f"{channel}.*")
        codes = {match[1] for path in files if (match := pattern.fullmatch(path.name))}
        # "email.subject.txt" is a separate part, not a translation of "email.txt".
        found |= {code for code in codes if f"{code}.{part}" not in parts}
    return sorted(found)


def _find_fault(event: NotificationEvent, channel: str, language: str, cluster: Any) -> str:
    """Return why a text cannot be rendered; empty if it can."""
    delivery, person = _make_sample_delivery(event, channel, cluster)
    # Rendering reads only attributes that the class has.
    backend: Any = get_channel_class(channel)
    locale = (language, settings.TIME_ZONE)
    try:
        with use_locale(locale):
            render_delivery(delivery, event, person, backend, locale)
    except Exception as error:  # noqa: BLE001 - a template may raise anything
        # The values are invented, so the text of the error reveals nothing.
        return describe_error(error, False)
    return ""


def _make_sample_delivery(event: NotificationEvent, channel: str, cluster: Any) -> tuple[Delivery, Person]:
    """Return a delivery that is not stored, with an invented value for each that its event declares."""
    context: Any = event.context
    values = {name: make_sample(kind, name) for name, kind in context.items()}
    now = clock.local_now()
    notification = Notification(
        pk=SAMPLE_KEY,
        event=event.name,
        cluster=cluster,
        priority=event.priority,
        context=encoded(values),
        created_at=now,
    )
    user = make_sample_user()
    delivery = Delivery(pk=SAMPLE_KEY, notification=notification, channel=channel, recipient_key=f"u:{SAMPLE_KEY}")
    return delivery, Person(f"u:{SAMPLE_KEY}", user, is_member=True)


def _report(event: NotificationEvent, channel: str, fault: str, languages: Sequence[str]) -> Diagnosis:
    detail = f"The event {event.name!r} cannot be rendered for {channel!r} in {', '.join(languages)}. {fault}"
    name = f"template {event.name}/{channel}"
    if fault.startswith(f"{ImproperlyConfigured.__name__}:"):
        # Such as the address of the site, which only sites with links need.
        remedy = "If the site sends this event, correct the setting. The templates are not the cause."
        return Diagnosis(Status.WARNING, name, detail, remedy)
    if event.transform_for(channel):
        # It may look up rows that no invented value names.
        remedy = "If its transform needs values that exist, ignore this. Otherwise correct it or the template."
        return Diagnosis(Status.WARNING, name, detail, remedy)
    remedy = f"Correct templates/notifications/{event.name}/{channel}.*, or the context that the event declares."
    return Diagnosis(Status.ERROR, name, detail, remedy)
