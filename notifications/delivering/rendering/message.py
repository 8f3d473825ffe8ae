"""The text of one delivery, with everything around it that its channel shows."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from notifications.channels.base import BaseChannel, Rendered
from notifications.delivering.rendering.bodies import complete_bodies, warn_of_clipping
from notifications.delivering.rendering.digest import render_digest
from notifications.delivering.rendering.layout import Layout, build_layout
from notifications.delivering.rendering.replacements import ReplacementText, put_into_layout
from notifications.delivering.rendering.sensitive import render_link
from notifications.delivering.rendering.templates import Locale, render_notification
from notifications.events import NotificationEvent
from notifications.models import Delivery, Notification


def render_delivery(
    delivery: Delivery,
    event: NotificationEvent,
    person: Any,
    channel: BaseChannel,
    locale: Locale,
    replacement: ReplacementText | None = None,
) -> Rendered:
    """Return the text of a delivery, in the language and time zone of its recipient.

    :param locale: the language and time zone, which must be active; see ``get_locale()``.
    :param person: the recipient; see ``notifications.sending.gates.Person``.
    :param replacement: the text that a feature has rendered, if it replaces the template files.
    :raises TemplateMissing: if a required part has no template.
    :raises DecryptionFailed: if the text needs a context whose key the site does not have.
    """
    notification = delivery.notification
    parts = channel.required_parts, channel.optional_parts
    is_sensitive = notification.is_sensitive
    layout = build_layout(delivery, event, person, [*parts[0], *parts[1]], locale[0])
    # A feature that replaces template files does not know who may see the content of a sensitive event.
    if replacement is None or is_sensitive:
        render = _choose_renderer(notification, channel, is_sensitive)
        rendered = render(notification, event, delivery.channel, parts, person.user, locale, layout)
    else:
        rendered = put_into_layout(replacement, layout)
    completed = complete_text(rendered, channel, layout)
    if channel.derived_parts:
        warn_of_clipping(completed.html, delivery)
    return replace(completed, is_sensitive=True) if is_sensitive else completed


def _choose_renderer(notification: Notification, channel: BaseChannel, is_sensitive: bool) -> Callable[..., Rendered]:
    if notification.digest_kind:
        return render_digest
    if is_sensitive and not channel.keeps_content_secret:
        return render_link
    return partial(render_notification, reveals_secrets=True) if is_sensitive else render_notification


def complete_text(rendered: Rendered, channel: BaseChannel | type[BaseChannel], layout: Layout) -> Rendered:
    """Return a text with its footer and with the parts that the channel lets Klaxon derive.

    The language of the text must be active.

    :raises TemplateMissing, MissingExtra: as :func:`~notifications.delivering.rendering.bodies.complete_bodies`.
    """
    parts = rendered.parts
    if channel.derived_parts:
        parts = complete_bodies(parts, channel.derived_parts, layout)
    return Rendered(
        parts,
        rendered.language,
        footer=layout.links,
        label=layout.label,
        action_url=layout.action_url,
        action_label=layout.action_label,
    )
