"""Render groups of deliveries with the published templates of staff.

A message whose template has a fault is a dead letter, as with template files: staff correct the template and resend it.
A CRITICAL event is sent with its template file instead. :mod:`~notifications.staff_templates.stopping` decides when a
version is no longer used.
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
from notifications.events import NotificationEvent, NotificationPriority
from notifications.events.annotations import matches_type
from notifications.exceptions import RenderingUnavailable, TemplateMissing
from notifications.models import Notification
from notifications.staff_templates.cage.child_values import Path
from notifications.staff_templates.cage.faults import STOPPED, TemplateFault
from notifications.staff_templates.cage.pool import CAGE, Job, RenderedJob, Result, Source
from notifications.staff_templates.published import PART_VARIANTS, PublishedTemplate, get_published
from notifications.staff_templates.stopping import CAUTION, record_seconds, record_stop
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

    @property
    def is_critical(self) -> bool:
        """Whether it is sent with its template file rather than not at once."""
        return bool(self.item.event.priority == NotificationPriority.CRITICAL)


def render_group(channel: BaseChannel, items: Sequence[Any], using: str) -> dict[int, Outcome]:
    """Render the deliveries of a group that have a published template, in one round trip to the cage.

    :param items: claimed deliveries of this channel.
    """
    if not channel.required_parts or not get_published(using).refresh():
        return {}
    # CRITICAL ones first, because a template that must be stopped lets those after it wait.
    messages = sorted(_find_messages(channel, items, using), key=lambda message: not message.is_critical)
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
    version_ids = {message.template.version_id for message in messages if not message.template.fault}
    sources = get_published(using).load_sources(version_ids, channel)
    jobs: list[Job] = []
    rendered: list[StaffMessage] = []
    for message in messages:
        if message.template.fault:
            yield from _fail(message, TemplateFault(STOPPED, message.template.fault))
            continue
        try:
            if not message.is_critical:
                CAUTION.check(message.template, using)
            if message.template.version_id in sources:  # otherwise it has just been deleted
                jobs.append(build_job(sources[message.template.version_id], message))
                rendered.append(message)
        except Exception as error:  # noqa: BLE001 - a transform or a value has failed, as it can with a template file
            yield from _fail(message, error)
    for message, job, result in zip(rendered, jobs, _render_jobs(jobs), strict=True):
        _record(message.template, result, using)
        try:
            yield message.item.delivery.pk, finish(result, job, channel, message.locale)
        except (TemplateFault, TemplateMissing, RenderingUnavailable, ValueError) as error:
            yield from _fail(message, error)


def _render_jobs(jobs: Sequence[Job]) -> Sequence[Result]:
    try:
        return CAGE.render(jobs)
    except RenderingUnavailable as error:
        return [error] * len(jobs)


def _record(template: PublishedTemplate, result: Result, using: str) -> None:
    if isinstance(result, TemplateFault) and result.is_stopped:
        record_stop(template, result, using)
    elif not isinstance(result, RenderingUnavailable):
        record_seconds(template, result.seconds, using, is_good=isinstance(result, RenderedJob))


def build_job(source: Source, message: StaffMessage) -> Job:
    """Return the job that renders a message. The values that its event declares as optional are always defined."""
    event, delivery = message.item.event, message.item.delivery
    variant = find_variant(event, delivery)
    user, notification = message.item.person.user, delivery.notification
    return Job(source, *build_job_variables(event, delivery.channel, notification, user, message.locale, variant))


def build_job_variables(
    event: NotificationEvent, channel: str, notification: Notification, user: Any, locale: Locale, variant: str
) -> tuple[dict[str, Any], Sequence[Path], Sequence[str]]:
    """Return the variables of a message as JSON, the places of values that the cage builds, and the names it copies.

    :param variant: the variant of the event's A/B test that the recipient gets; empty if there is none.
    """
    optional = [name for name, kind in (event.context or {}).items() if matches_type(None, kind)]
    variables = build_variables(event, channel, notification, user, locale)
    if variant:
        variables["variant"] = variant
    return build_plain_variables({**dict.fromkeys(optional), **variables}, locale)


def finish(result: Result, job: Job, channel: BaseChannel | type[BaseChannel], locale: Locale) -> ReplacementText:
    """Return the text of a message for a channel.

    :raises TemplateFault: if the template has a fault.
    :raises RenderingUnavailable: if the message must wait.
    :raises TemplateMissing: if the channel requires a part that the template does not have.
    :raises ValueError: if the text cannot be stored.
    """
    if isinstance(result, Exception):
        raise result
    for part in channel.required_parts:
        if part not in result.parts:
            raise TemplateMissing(f"The staff template has no {PART_VARIANTS.get(part, part)!r}.")
    if channel.derived_parts and TEXT not in result.parts and HTML not in result.parts:
        raise TemplateMissing("The staff template has neither 'text' nor 'html'.")
    rendered = Rendered({part: clean_part(text, part) for part, text in result.parts.items()}, locale[0])
    return ReplacementText(rendered, {name: job.find_text(name) for name in LAYOUT_VARIABLES})


def _fail(message: StaffMessage, error: Exception) -> Iterator[tuple[int, Outcome]]:
    """Yield the error of a message, or nothing if it is CRITICAL and its template file is used instead."""
    if message.is_critical:
        logger.error(
            "The staff template %s failed, so critical event %r is sent with its template file: %s",
            message.template.pk,
            message.item.event.name,
            error,
        )
        return
    yield message.item.delivery.pk, error
