"""The publish gate: a version is used only if the last real messages of its event can be rendered with it."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from django.db import router, transaction

from notifications.channels import BaseChannel
from notifications.channels.base import SUBJECT, Rendered
from notifications.conf import get_channel_class
from notifications.core import clock
from notifications.events import NOTIFICATION_EVENTS, NotificationEvent
from notifications.exceptions import ChannelNotConfigured, PublishRefused, TemplateMissing
from notifications.models import StaffTemplate, StaffTemplateVersion
from notifications.staff_templates.cage.faults import TemplateFault
from notifications.staff_templates.cage.pool import CAGE, Job, RenderedJob, Source
from notifications.staff_templates.links import find_broken_links
from notifications.staff_templates.past import (
    PastContext,
    get_sample_context,
    get_site_locale,
    load_past_contexts,
    make_sample_user,
)
from notifications.staff_templates.published import PART_VARIANTS, build_source, forget_published
from notifications.staff_templates.rendering import finish

MAX_SUBJECT_CHARACTERS = 200
MAX_PART_BYTES = 102_400
"""Gmail shows no more of a part than this."""
MAX_SECONDS = 0.25
"""The CPU time for one message. A worker stops a template only after more, see ``cage.budget``."""


def publish(version: StaffTemplateVersion) -> None:
    """Let workers use a version from the next message on. A rollback publishes an earlier version.

    :raises PublishRefused: if a past message of the event would break. Nothing is changed.
    :raises RenderingUnavailable: if the cage cannot be used at present.
    """
    if problems := find_problems(version):
        raise PublishRefused(problems)
    using = router.db_for_write(StaffTemplate, instance=version.template)
    version.template.set_published(version, clock.now(using))
    transaction.on_commit(forget_published, using=using)


def unpublish(template: StaffTemplate) -> None:
    """Let workers use the template files again."""
    using = router.db_for_write(StaffTemplate, instance=template)
    template.set_published(None, clock.now(using))
    transaction.on_commit(forget_published, using=using)


def find_syntax_fault(texts: Mapping[str, str]) -> tuple[str, TemplateFault] | None:
    """Return the first variant that cannot be compiled, with its fault; None if all can.

    :raises RenderingUnavailable: if the cage cannot be used at present.
    """
    [result] = CAGE.render([Job(build_draft_source(texts, PART_VARIANTS), None)])
    if isinstance(result, TemplateFault):
        return PART_VARIANTS.get(result.part, "html"), result
    return None


def build_draft_source(texts: Mapping[str, str], parts: Iterable[str]) -> Source:
    """Return the variants of texts that may not be saved. The texts are their own key, because they may change."""
    key = hashlib.sha256(repr(sorted(texts.items())).encode()).hexdigest()
    return build_source(key, texts, parts)


def find_problems(version: StaffTemplateVersion) -> list[str]:
    """Return a sentence for each reason against publishing a version. Each names the notification that would break."""
    template = version.template
    event = NOTIFICATION_EVENTS.named(template.event)
    if event is None:
        return [f"The event {template.event!r} is not registered."]
    try:
        channel = get_channel_class(template.channel)
    except ChannelNotConfigured as error:
        return [str(error)]
    using = router.db_for_write(StaffTemplate, instance=template)
    contexts = load_past_contexts(template, using)
    if not contexts and (sample := get_sample_context(template, event, make_sample_user())):
        contexts = [sample]
    return list(_find_context_problems(version, event, channel, contexts))


def _find_context_problems(
    version: StaffTemplateVersion, event: NotificationEvent, channel: type[BaseChannel], contexts: Sequence[PastContext]
) -> Iterator[str]:
    for context, result in render_contexts(version.template, version.texts, event, channel, contexts):
        if isinstance(result, Exception):
            yield f"{context}: {result}"
        else:
            rendered, seconds = result
            yield from (f"{context}: {problem}" for problem in find_message_problems(rendered, seconds))


def render_contexts(
    template: StaffTemplate,
    texts: Mapping[str, str],
    event: NotificationEvent,
    channel: type[BaseChannel],
    contexts: Sequence[PastContext],
) -> Iterator[tuple[PastContext, tuple[Rendered, float] | Exception]]:
    """Yield each context with its message and the CPU seconds that it took, or with an error.

    :raises RenderingUnavailable: if the cage cannot be used at present.
    """
    locale = get_site_locale(template)
    source = build_draft_source(texts, (*channel.required_parts, *channel.optional_parts))
    jobs, built = [], []
    for context in contexts:
        try:
            jobs.append(context.build_job(source, event, template.channel, locale))
            built.append(context)
        except Exception as error:  # noqa: BLE001 - a transform has failed, as it would for a message
            yield context, error
    for context, result in zip(built, CAGE.render(jobs), strict=True):
        try:
            rendered = finish(result, channel, locale)
        except (TemplateFault, TemplateMissing, ValueError) as error:
            yield context, error
        else:
            yield context, (rendered, result.seconds if isinstance(result, RenderedJob) else 0.0)


def find_message_problems(rendered: Rendered, seconds: float) -> Iterator[str]:
    """Yield a sentence for each reason not to send a message: it is too long, too slow, or a link is broken."""
    subject = rendered.parts.get(SUBJECT)
    if subject is not None and not subject:
        yield "The subject is empty."
    if subject and len(subject) > MAX_SUBJECT_CHARACTERS:
        yield f"The subject has {len(subject)} characters; at most {MAX_SUBJECT_CHARACTERS} are allowed."
    for part, text in rendered.parts.items():
        if (size := len(text.encode())) > MAX_PART_BYTES:
            yield f"The part {part} has {size:,} bytes; mail programs cut it after {MAX_PART_BYTES:,}."
    if seconds > MAX_SECONDS:
        yield f"It took {seconds:.2f} s of CPU time; at most {MAX_SECONDS} s are allowed."
    yield from find_broken_links(rendered.html)
