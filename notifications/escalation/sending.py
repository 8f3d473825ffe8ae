"""Send the notification of an escalation again, to the recipients of a step.

It is a notification of the same event, which passes what people can turn off; see ``NotificationEvent.escalated``.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from notifications import conf
from notifications.conf import get_address_kind, has_subscribers
from notifications.events import NOTIFICATION_EVENTS, NotificationEvent
from notifications.exceptions import InvalidOption
from notifications.models import AttachedFile, EscalationRun
from notifications.outcomes import SendResult
from notifications.sending.enqueue import enqueue
from notifications.sending.request import Request, build_request


def get_cancel_key(run: EscalationRun) -> str:
    """Return the key by which what an escalation has queued is cancelled."""
    return f"escalation:{run.pk}"


def get_page_event(event: NotificationEvent, channels: Sequence[str]) -> tuple[NotificationEvent, tuple[str, ...]]:
    """Return the event as an escalation sends it, and the enabled channels of a step.

    :param event: as it is declared.
    :param channels: those that the step names; empty for all channels of the event that reach people.
    """
    enabled = conf.current().enabled_channels
    names = tuple(name for name in channels or event.channels if name in enabled)
    if not channels:
        # Endpoints have got the first notification already, and the log reaches nobody. So neither counts as reached.
        names = tuple(name for name in names if get_address_kind(name) and not has_subscribers(name))
    escalated = event.escalated
    # A policy in the table can use channels that the event does not declare.
    return replace(escalated, supported_channels=tuple(dict.fromkeys((*escalated.channels, *names)))), names


def build_page_request(
    event: NotificationEvent, channels: Sequence[str], cluster: Any, context: Any, options: dict[str, Any]
) -> Request:
    """Return the request for one page.

    :param context: it was validated when the notification was sent. If the declaration has changed since, it is still
        sent.
    :raises InvalidOption: if none of the channels is in use.
    """
    escalated, names = get_page_event(event, channels)
    if not names:
        named = ", ".join(channels or event.channels)
        raise InvalidOption(f"None of the channels of the step is in use and reaches people: {named}.")
    lenient = replace(escalated, context=None, link="")
    given: Any = {**options, "channels": names}
    return replace(build_request(lenient, cluster, context, given), event=escalated)


def send_page(
    run: EscalationRun, recipients: Sequence[Any], channels: Sequence[str], key: str, using: str
) -> SendResult:
    """Queue the notification of an escalation for recipients.

    :param channels: empty for all channels of the event.
    :param key: the idempotency key, so that the same page is never queued twice.
    :raises UnknownEvent: if the event is not registered any more.
    :raises InvalidOption: if none of the channels is in use.
    """
    notification = run.notification
    event = NOTIFICATION_EVENTS.find(notification.event)
    options: dict[str, Any] = {
        "topic": notification.topic or None,
        "campaign": notification.campaign or None,
        "correlation_id": str(notification.correlation_id),
        "actor": notification.actor,
        "expires_at": notification.expires_at,
        "cancel_key": get_cancel_key(run),
        "idempotency_key": key,
        "attachments": AttachedFile.objects.using(using).load_attachments([notification]).get(notification.pk),
    }
    request = build_page_request(event, channels, notification.cluster, notification.values, options)
    return enqueue(replace(request, escalates_id=notification.pk), recipients, using)
