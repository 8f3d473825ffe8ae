"""Messages that a user asks for on the page: a test message, and the link that confirms an address."""

from datetime import timedelta
from typing import Any

from django.utils.translation import gettext as _

from notifications.conf import get_address_kind, get_channel_class
from notifications.core import clock
from notifications.delivering.rendering import find_template_errors, get_template_places
from notifications.events import NOTIFICATION_EVENTS, BuiltInEvents
from notifications.manager import NotificationManager
from notifications.models import Delivery
from notifications.outcomes import Reason, SendResult
from notifications.recipients import Address

MAX_TESTS_PER_HOUR = 5


def is_available(event: BuiltInEvents, channel: str) -> bool:
    """Return whether a user can ask for this message on a channel: whether the channel has the templates for it.

    The message that confirms an address is a link, so the channel must show it.
    """
    if channel not in NOTIFICATION_EVENTS[event].channels:
        return False
    backend = get_channel_class(channel)
    if event is BuiltInEvents.ADDRESS_CONFIRMATION and not backend.can_show_links:
        return False
    places = get_template_places(event.value, "", channel)
    return not any(find_template_errors(places, backend.required_parts, backend.derived_parts))


def send_test_message(user: Any, cluster: Any, channel: str) -> str:
    """Queue a test message to a user; return why this is not possible, or an empty text."""
    event, since = BuiltInEvents.TEST_MESSAGE, clock.now() - timedelta(hours=1)
    recent = Delivery.objects.filter(recipient=user, notification__event=event.value)
    # The link in an email works without a log-in, so whoever has it could fill the mailbox.
    if recent.filter(notification__created_at__gt=since).count() >= MAX_TESTS_PER_HOUR:
        return _("You have asked for too many test messages. Try again in an hour.")
    return _find_refusal(NotificationManager.send(event, user, cluster, context={}, channels=[channel]))


def send_confirmation(cluster: Any, channel: str, address: str, url: str) -> str:
    """Queue the link that confirms an address, in the active language; return why this is not possible, or ``""``."""
    context = {
        "title": _("Confirm this address"),
        "message": _(
            "Somebody wants to receive notifications here. If that is you, open this link and confirm it. Otherwise, "
            "ignore this message: nothing else will be sent."
        ),
        "action_url": url,
        "action_label": _("Confirm"),
    }
    event, recipient = BuiltInEvents.ADDRESS_CONFIRMATION, Address(**{get_address_kind(channel): address})
    return _find_refusal(NotificationManager.send(event, recipient, cluster, context=context, channels=[channel]))


def _find_refusal(result: SendResult) -> str:
    if not result.reasons:
        return ""
    reasons = ", ".join(str(Reason(reason).label) for reason in result.reasons)
    return _("The message cannot be sent: {reasons}.").format(reasons=reasons)
