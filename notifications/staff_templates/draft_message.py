"""Send a draft to the person who edits it, without the outbox."""

from collections.abc import Mapping
from copy import copy
from typing import Any
from uuid import uuid4

from notifications import conf
from notifications.channels.base import SUBJECT, Rendered, create_channel
from notifications.conf import get_channel_class
from notifications.core.addresses import hash_address
from notifications.events import NOTIFICATION_EVENTS
from notifications.exceptions import InvalidRecipient
from notifications.models import Delivery, StaffTemplate
from notifications.outcomes import Receipt
from notifications.sending.gates.facts import Person
from notifications.staff_templates.past import PastContext
from notifications.staff_templates.publishing import render_contexts
from notifications.staff_templates.tools import inline_texts

MARK = "[Test] "


def can_send_draft(template: StaffTemplate) -> bool:
    """Return whether a test can be sent on the channel: it sends to an address, and not to an account."""
    is_enabled = template.channel in conf.current().enabled_channels
    return is_enabled and get_channel_class(template.channel).address_kind not in ("", "user")


def send_draft(template: StaffTemplate, texts: Mapping[str, str], context: PastContext, user: Any) -> Receipt:
    """Render a draft with a context, send it to the address of a user, and return the receipt of the provider.

    Nothing is queued or logged. The subject begins with ``[Test]``.

    :raises InvalidRecipient: if the user has no address for the channel.
    :raises TemplateFault, TemplateMissing, ValueError: if the draft cannot be rendered.
    :raises RenderingUnavailable: if the cage cannot be used at present.
    """
    channel_class = get_channel_class(template.channel)
    event = NOTIFICATION_EVENTS.find(template.event)
    address = Person(key="", user=user).choose_address(template.channel, channel_class.address_kind).address
    if not address:
        raise InvalidRecipient(f"Your account has no address for the channel {template.channel!r}.")
    [message] = render_contexts(template, inline_texts(texts), event, channel_class, [context])
    if isinstance(message.rendered, Exception):
        raise message.rendered
    # A message of its own: mail programs hide a message with an id that they have, and would show it in the thread.
    notification = copy(context.notification)
    notification.correlation_id = str(uuid4())
    delivery = Delivery(
        notification=notification, channel=template.channel, address=address, address_hash=hash_address(address)
    )
    channel = create_channel(template.channel)
    try:
        [receipt] = channel.send([channel.prepare(delivery, _mark(message.rendered))])
        return receipt
    finally:
        channel.close()


def _mark(rendered: Rendered) -> Rendered:
    parts = dict(rendered.parts)
    if SUBJECT in parts:
        parts[SUBJECT] = MARK + parts[SUBJECT]
    return Rendered(parts, rendered.language)
