"""The publish gate: a version is used only if the last real messages of its event can be rendered with it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from django.db import router, transaction
from django.utils.translation import gettext as _

from notifications.channels import BaseChannel
from notifications.channels.base import TEXT, Rendered
from notifications.conf import get_channel_class
from notifications.core import clock
from notifications.delivering.rendering import ReplacementText
from notifications.delivering.rendering.layout import build_layout
from notifications.delivering.rendering.message import complete_text
from notifications.delivering.rendering.replacements import put_into_layout
from notifications.delivering.rendering.templates import Locale, use_locale
from notifications.events import NOTIFICATION_EVENTS, NotificationEvent
from notifications.exceptions import ChannelNotConfigured, EditConflict, PublishRefused, RenderingUnavailable
from notifications.models import Delivery, StaffTemplate, StaffTemplateVersion
from notifications.staff_templates.cage.faults import TemplateFault
from notifications.staff_templates.cage.pool import CAGE, Job, RenderedJob, Result
from notifications.staff_templates.message_limits import (
    describe_failure,
    find_average_problem,
    find_message_problems,
)
from notifications.staff_templates.past import (
    PastContext,
    get_sample_context,
    get_site_locale,
    load_past_contexts,
    make_sample_user,
)
from notifications.staff_templates.published import PART_VARIANTS, build_source, forget_published
from notifications.staff_templates.rendering import finish
from notifications.staff_templates.tools import find_broken_links, find_markup_faults, inline_texts


@dataclass(frozen=True)
class RenderedContext:
    """A past message as a worker would send it, or why it cannot be rendered.

    :param seconds: the CPU time that it took, without the compilation of the template.
    :param compile_seconds: that of the compilation, if the template was compiled for this message.
    :param fragment: the HTML of the template, without the layout.
    """

    context: PastContext
    rendered: Rendered | Exception
    seconds: float = 0.0
    compile_seconds: float = 0.0
    fragment: str = ""


def publish(version: StaffTemplateVersion, shows_values: bool = True, expected_version: int | None = None) -> None:
    """Let workers use a version from the next message on. A rollback publishes an earlier version.

    :param shows_values: whether the problems may contain values of past notifications, as error messages and links do.
    :param expected_version: the number of the version that the caller believes to be published, 0 for none; by default,
        that is not checked.
    :raises PublishRefused: if a past message of the event would break. Nothing is changed.
    :raises EditConflict: if another version is published by now.
    :raises RenderingUnavailable: if the cage cannot be used at present.
    """
    texts, problems = check_version(version, shows_values)
    if problems:
        raise PublishRefused(problems)
    using = router.db_for_write(StaffTemplate, instance=version.template)
    with transaction.atomic(using=using):
        _check_published(version.template, expected_version, using)
        version.inlined_html = texts["html"]
        version.save(using=using, update_fields=["inlined_html"])
        version.template.set_published(version, clock.now(using))
        transaction.on_commit(forget_published, using=using)


def unpublish(template: StaffTemplate, expected_version: int | None = None) -> None:
    """Let workers use the template files again.

    :param expected_version: as for :func:`publish`.
    :raises EditConflict: if another version is published by now.
    """
    using = router.db_for_write(StaffTemplate, instance=template)
    with transaction.atomic(using=using):
        _check_published(template, expected_version, using)
        template.set_published(None, clock.now(using))
        transaction.on_commit(forget_published, using=using)


def _check_published(template: StaffTemplate, expected_version: int | None, using: str) -> None:
    """Lock a template, and check which version is published."""
    if expected_version is None:
        return
    rows = StaffTemplate.objects.using(using).select_for_update(of=("self",)).select_related("published")
    published = rows.get(pk=template.pk).published
    if (published.number if published else 0) != expected_version:
        raise EditConflict(published, {})


def find_syntax_fault(texts: Mapping[str, str]) -> tuple[str, TemplateFault] | None:
    """Return the first variant that cannot be compiled, with its fault; None if all can.

    :raises RenderingUnavailable: if the cage cannot be used at present.
    """
    [result] = CAGE.render([Job(build_source(texts, PART_VARIANTS, derives_text=False), None)])
    if isinstance(result, TemplateFault):
        return PART_VARIANTS.get(result.part, "html"), result
    return None


def find_problems(version: StaffTemplateVersion) -> list[str]:
    """Return a sentence for each reason against publishing a version. Each names the notification that would break."""
    return check_version(version)[1]


def check_version(version: StaffTemplateVersion, shows_values: bool = True) -> tuple[dict[str, str], list[str]]:
    """Return the texts of a version with inlined CSS, and what :func:`find_problems` returns."""
    version.refresh_from_db(fields=["fault"])
    if version.fault:
        problem = _("Workers had to stop version %(number)d: %(fault)s Correct it and save another version.")
        return version.texts, [problem % {"number": version.number, "fault": version.fault}]
    try:
        texts = inline_texts(version.texts)
        return texts, _find_template_problems(version.template, texts, shows_values)
    except TemplateFault as error:
        return version.texts, [str(error)]


def _find_template_problems(template: StaffTemplate, texts: Mapping[str, str], shows_values: bool) -> list[str]:
    event = NOTIFICATION_EVENTS.named(template.event)
    if event is None:
        return [_("The event %r is not registered.") % template.event]
    try:
        channel = get_channel_class(template.channel)
    except ChannelNotConfigured as error:
        return [str(error)]
    using = router.db_for_write(StaffTemplate, instance=template)
    contexts = load_past_contexts(template, using)
    if not contexts and (sample := get_sample_context(template, event, make_sample_user())):
        contexts = [sample]
    expanded = [one for context in contexts for one in context.expand(event)]
    if not expanded:
        fault = find_syntax_fault(texts)
        return [str(fault[1])] if fault else []
    messages = list(render_contexts(template, texts, event, channel, expanded))
    return list(find_context_problems(messages, shows_values))


def find_context_problems(messages: Sequence[RenderedContext], shows_values: bool = True) -> Iterator[str]:
    """Yield a sentence for each reason not to send these messages, with the notification.

    :raises TemplateFault: if their links take too long to read.
    :raises RenderingUnavailable: if the cage cannot be used at present.
    """
    pages = [message.rendered.html if isinstance(message.rendered, Rendered) else "" for message in messages]
    markup_faults = find_markup_faults([message.fragment for message in messages], shows_values)
    broken_links = find_broken_links(pages, shows_values)
    for message, faults, links in zip(messages, markup_faults, broken_links, strict=True):
        if isinstance(message.rendered, Exception):
            yield f"{message.context}: {describe_failure(message.rendered, shows_values)}"
        else:
            seconds = message.seconds + message.compile_seconds
            for problem in (*find_message_problems(message.rendered, seconds), *faults, *links):
                yield f"{message.context}: {problem}"
    if problem := find_average_problem([message.seconds for message in messages]):
        yield problem


def render_contexts(
    template: StaffTemplate,
    texts: Mapping[str, str],
    event: NotificationEvent,
    channel: type[BaseChannel],
    contexts: Sequence[PastContext],
) -> Iterator[RenderedContext]:
    """Yield each context with its message, or with an error.

    :param texts: the texts of a version, as :func:`~notifications.staff_templates.tools.inline_texts` returns them.
    :raises RenderingUnavailable: if the cage cannot be used at present.
    """
    locale = get_site_locale(template)
    parts = (*channel.required_parts, *channel.optional_parts)
    source = build_source(texts, parts, derives_text=TEXT in channel.derived_parts)
    jobs, built = [], []
    for context in contexts:
        try:
            jobs.append(context.build_job(source, event, template.channel, locale))
            built.append(context)
        except Exception as error:  # noqa: BLE001 - a transform has failed, as it would for a message
            yield RenderedContext(context, error)
    for context, job, result in _leave_out_untried(zip(built, jobs, CAGE.render(jobs), strict=True)):
        try:
            text = finish(result, job, channel, locale)
            rendered = lay_out(text, context, event, channel, locale)
        except Exception as error:  # noqa: BLE001 - as for a message, whose worker logs it
            yield RenderedContext(context, error)
        else:
            times = (result.seconds, result.compile_seconds) if isinstance(result, RenderedJob) else (0.0, 0.0)
            yield RenderedContext(context, rendered, *times, text.rendered.html)


def _leave_out_untried(
    found: Iterable[tuple[PastContext, Job, Result]],
) -> Iterator[tuple[PastContext, Job, Result]]:
    """Yield the results until the first message that was not tried. If no message was stopped before it, yield it."""
    is_stopped = False
    for context, job, result in found:
        is_untried = isinstance(result, RenderingUnavailable)
        if not (is_untried and is_stopped):
            yield context, job, result
        if is_untried:
            return
        is_stopped = isinstance(result, TemplateFault) and result.is_stopped


def lay_out(
    text: ReplacementText, context: PastContext, event: NotificationEvent, channel: type[BaseChannel], locale: Locale
) -> Rendered:
    """Return a text as a worker completes it, but without a footer: its links belong to one delivery."""
    with use_locale(locale):
        layout = build_layout(Delivery(notification=context.notification), event, None, (), locale[0])
        return complete_text(put_into_layout(text, layout), channel, layout)
