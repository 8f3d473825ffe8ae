"""Render groups of deliveries with the published templates of staff.

A message whose template has a fault is a dead letter, as with template files: staff correct the template and resend it.
A CRITICAL event is sent with its template file instead. A template for which the cage had to kill a process is not used
again until another version is published, so it costs each process of the site at most one second of CPU time.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from notifications.channels import BaseChannel
from notifications.channels.base import HTML, TEXT, Rendered
from notifications.core.variants import find_variant
from notifications.delivering.rendering import ReplacementText
from notifications.delivering.rendering.templates import Locale, build_variables, clean_part, get_locale
from notifications.events import NotificationEvent
from notifications.events.annotations import matches_type
from notifications.exceptions import TemplateMissing
from notifications.models import Notification, StaffTemplate
from notifications.staff_templates.cage.child_values import Path
from notifications.staff_templates.cage.faults import STOPPED, TemplateFault
from notifications.staff_templates.cage.pool import CAGE, Job, RenderedJob, Source
from notifications.staff_templates.published import PART_VARIANTS, PublishedTemplate, get_published
from notifications.staff_templates.values import build_plain_variables

logger = logging.getLogger("notifications.staff_templates")

Outcome = ReplacementText | Exception
LAYOUT_VARIABLES = ("action_url", "action_label", "preheader")
"""The variables that the layout of emails reads."""


@dataclass(frozen=True)
class StaffMessage:
    """A delivery whose event, channel and language have a published template."""

    item: Any
    template: PublishedTemplate
    locale: Locale


def render_group(channel: BaseChannel, items: Sequence[Any], using: str) -> dict[int, Outcome]:
    """Render the deliveries of a group that have a published template, in one round trip to the cage.

    :param items: claimed deliveries of this channel.
    :raises RenderingUnavailable: if the cage cannot be used at present.
    """
    if not get_published(using).refresh():
        return {}
    messages = list(_find_messages(channel, items, using))
    return dict(_render_messages(channel, messages, using)) if messages else {}


def _find_messages(channel: BaseChannel, items: Sequence[Any], using: str) -> Iterator[StaffMessage]:
    published = get_published(using)
    for item in items:
        notification = item.delivery.notification
        if notification.digest_kind:
            continue  # Digests and batches list many notifications, and have only template files.
        locale = get_locale(item.person.settings)
        place = item.event.name, item.delivery.channel, notification.cluster_id, locale[0], channel.required_parts[0]
        if template := published.find(*place):
            yield StaffMessage(item, template, locale)


def _render_messages(
    channel: BaseChannel, messages: Sequence[StaffMessage], using: str
) -> Iterator[tuple[int, Outcome]]:
    parts = (*channel.required_parts, *channel.optional_parts)
    version_ids = {message.template.version_id for message in messages if not message.template.fault}
    sources = get_published(using).load_sources(version_ids, parts)
    jobs: list[Job] = []
    rendered: list[StaffMessage] = []
    for message in messages:
        if message.template.fault:
            yield from _fail(message, TemplateFault(STOPPED, message.template.fault), using)
            continue
        try:
            if message.template.version_id in sources:  # otherwise it has just been deleted
                jobs.append(build_job(sources[message.template.version_id], message))
                rendered.append(message)
        except Exception as error:  # noqa: BLE001 - a transform or a value has failed, as it can with a template file
            yield from _fail(message, error, using)
    for message, job, result in zip(rendered, jobs, CAGE.render(jobs), strict=True):
        try:
            yield message.item.delivery.pk, finish(result, job, channel, message.locale)
        except (TemplateFault, TemplateMissing, ValueError) as error:
            yield from _fail(message, error, using)


def build_job(source: Source, message: StaffMessage) -> Job:
    """Return the job that renders a message. The values that its event declares as optional are always defined."""
    notification, event, user = message.item.delivery.notification, message.item.event, message.item.person.user
    delivery, locale = message.item.delivery, message.locale
    variables, places = build_job_variables(event, delivery.channel, notification, user, locale)
    if event.variants:
        variables["variant"] = find_variant(event, delivery)
    return Job(source, variables, places)


def build_job_variables(
    event: NotificationEvent, channel: str, notification: Notification, user: Any, locale: Locale
) -> tuple[dict[str, Any], Sequence[Path]]:
    """Return the variables of a message as JSON, and the places of values that the cage builds."""
    optional = [name for name, kind in (event.context or {}).items() if matches_type(None, kind)]
    variables = build_variables(event, channel, notification, user, locale)
    return build_plain_variables({**dict.fromkeys(optional), **variables}, locale)


def finish(
    result: RenderedJob | TemplateFault, job: Job, channel: BaseChannel | type[BaseChannel], locale: Locale
) -> ReplacementText:
    """Return the text of a message for a channel.

    :raises TemplateFault: if the template has a fault.
    :raises TemplateMissing: if the channel requires a part that the template does not have.
    :raises ValueError: if the text cannot be stored.
    """
    if isinstance(result, TemplateFault):
        raise result
    for part in channel.required_parts:
        if part not in result.parts:
            raise TemplateMissing(f"The staff template has no {PART_VARIANTS.get(part, part)!r}.")
    if channel.derived_parts and TEXT not in result.parts and HTML not in result.parts:
        raise TemplateMissing("The staff template has neither 'text' nor 'html'.")
    rendered = Rendered({part: clean_part(text, part) for part, text in result.parts.items()}, locale[0])
    variables = job.variables or {}
    return ReplacementText(rendered, {name: variables[name] for name in LAYOUT_VARIABLES if name in variables})


def _fail(message: StaffMessage, error: Exception, using: str) -> Iterator[tuple[int, Outcome]]:
    """Yield the error of a message, or nothing if it is CRITICAL and its template file is used instead."""
    if isinstance(error, TemplateFault) and error.is_stopped and not message.template.fault:
        record_fault(message.template, error, using)
    if message.item.event.bypasses_preferences:
        logger.error(
            "The staff template %s failed, so critical event %r is sent with its template file: %s",
            message.template.pk,
            message.item.event.name,
            error,
        )
        return
    yield message.item.delivery.pk, error


def record_fault(template: PublishedTemplate, error: TemplateFault, using: str) -> None:
    """Let no worker use a published version again, because the cage had to kill a process for it."""
    rows = StaffTemplate.objects.using(using).filter(pk=template.pk, published=template.version_id, fault="")
    if rows.update(fault=error.message):
        logger.error(
            "The staff template %s was stopped (%s) and is not used until another version is published.",
            template.pk,
            error.message,
        )
    get_published(using).forget()
