"""The publish gate: a version is used only if the last real messages of its event can be rendered with it."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from django.db import router, transaction

from notifications.channels import BaseChannel
from notifications.channels.base import SUBJECT, Rendered
from notifications.conf import get_channel_class
from notifications.core import clock
from notifications.delivering.rendering import ReplacementText
from notifications.delivering.rendering.layout import build_layout
from notifications.delivering.rendering.message import complete_text
from notifications.delivering.rendering.replacements import put_into_layout
from notifications.delivering.rendering.templates import Locale
from notifications.events import NOTIFICATION_EVENTS, NotificationEvent
from notifications.exceptions import ChannelNotConfigured, KlaxonError, PublishRefused
from notifications.models import Delivery, StaffTemplate, StaffTemplateVersion
from notifications.staff_templates.cage.faults import TemplateFault
from notifications.staff_templates.cage.pool import CAGE, Job, RenderedJob, Source
from notifications.staff_templates.inlining import inline_texts
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
RenderedContext = tuple[PastContext, tuple[Rendered, float] | Exception]


def publish(version: StaffTemplateVersion) -> None:
    """Let workers use a version from the next message on. A rollback publishes an earlier version.

    :raises PublishRefused: if a past message of the event would break. Nothing is changed.
    :raises RenderingUnavailable: if the cage cannot be used at present.
    """
    texts, problems = check_version(version)
    if problems:
        raise PublishRefused(problems)
    using = router.db_for_write(StaffTemplate, instance=version.template)
    version.inlined_html = texts["html"]
    version.save(using=using, update_fields=["inlined_html"])
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
    return check_version(version)[1]


def check_version(version: StaffTemplateVersion) -> tuple[dict[str, str], list[str]]:
    """Return the texts of a version with inlined CSS, and what :func:`find_problems` returns."""
    try:
        texts = inline_texts(version.texts)
    except TemplateFault as error:
        return version.texts, [str(error)]
    return texts, _find_template_problems(version.template, texts)


def _find_template_problems(template: StaffTemplate, texts: Mapping[str, str]) -> list[str]:
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
    return list(_find_context_problems(render_contexts(template, texts, event, channel, contexts)))


def _find_context_problems(rendered_contexts: Iterable[RenderedContext]) -> Iterator[str]:
    for context, result in rendered_contexts:
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
) -> Iterator[RenderedContext]:
    """Yield each context with its message and the CPU seconds that it took, or with an error.

    :param texts: the texts of a version, as :func:`inline_texts` returns them.
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
    for context, job, result in zip(built, jobs, CAGE.render(jobs), strict=True):
        try:
            text = finish(result, job, channel, locale)
            rendered = lay_out(text, context, event, channel, locale)
        except (KlaxonError, ValueError) as error:
            yield context, error
        else:
            yield context, (rendered, result.seconds if isinstance(result, RenderedJob) else 0.0)


def lay_out(
    text: ReplacementText, context: PastContext, event: NotificationEvent, channel: type[BaseChannel], locale: Locale
) -> Rendered:
    """Return a text as a worker completes it, but without a footer: its links belong to one delivery."""
    layout = build_layout(Delivery(notification=context.notification), event, None, (), locale)
    return complete_text(put_into_layout(text, layout, locale), channel, layout, locale)


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
