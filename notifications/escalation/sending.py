"""Send the notification of an escalation again, to the recipients of a step.

It is a notification of the same event, which passes what people can turn off; see ``NotificationEvent.escalated``.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from notifications import conf
from notifications.events import NOTIFICATION_EVENTS, NotificationEvent
from notifications.models import AttachedFile, EscalationRun, Notification
from notifications.outcomes import SendResult
from notifications.sending.enqueue import enqueue
from notifications.sending.request import build_request


def get_cancel_key(run: EscalationRun) -> str:
    """Return the key by which what an escalation has queued is cancelled."""
    return f"escalation:{run.pk}"


def send_page(
    run: EscalationRun, recipients: Sequence[Any], channels: Sequence[str], key: str, using: str
) -> SendResult:
    """Queue the notification of an escalation for recipients.

    :param channels: empty for all channels of the event.
    :param key: the idempotency key, so that the same page is never queued twice.
    :raises UnknownEvent: if the event is not registered any more.
    """
    notification = run.notification
    event = NOTIFICATION_EVENTS.find(notification.event).escalated
    names = [name for name in channels or event_channels(notification) if name in conf.current().enabled_channels]
    event = replace(event, supported_channels=tuple(dict.fromkeys((*event.channels, *names))))
    options: dict[str, Any] = {
        "topic": notification.topic or None,
        "campaign": notification.campaign or None,
        "correlation_id": str(notification.correlation_id),
        "actor": notification.actor,
        "expires_at": notification.expires_at,
        "cancel_key": get_cancel_key(run),
        "idempotency_key": key,
        "attachments": AttachedFile.objects.using(using).load_attachments([notification]).get(notification.pk),
        "channels": names or None,
    }
    # The context was validated when the notification was sent. If the declaration has changed since, it is still sent.
    lenient = replace(event, context=None, link="")
    request = build_request(lenient, notification.cluster, notification.values, options)  # type: ignore[arg-type]
    return enqueue(replace(request, event=event, escalates_id=notification.pk), recipients, using)


def event_channels(notification: Notification) -> tuple[str, ...]:
    """Return the channels on which the notification is sent if a step names none."""
    event: NotificationEvent = NOTIFICATION_EVENTS.find(notification.event)
    return event.channels
