"""The page ``notification_status``: what was sent to a user, on which channel, and what became of it.

It shows names of events and times, no content and no address.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from django.utils.translation import gettext_lazy as _

from notifications.events import BuiltInEvents
from notifications.models import Delivery
from notifications.outcomes import DeliveryState
from notifications.preference_centre.widgets.names import get_channel_name, get_event_name, list_reaching_channels

MAX_ROWS = 50
WAITING, NOT_SENT = _("Waiting"), _("Not sent")
STATUS_NAMES: Mapping[str, Any] = {
    DeliveryState.HELD: WAITING,
    DeliveryState.READY: WAITING,
    DeliveryState.CLAIMED: WAITING,
    DeliveryState.SENDING: WAITING,
    DeliveryState.RETRY: WAITING,
    DeliveryState.UNKNOWN: _("Perhaps sent"),
    DeliveryState.SENT: _("Sent"),
    DeliveryState.MERGED: _("Part of a digest"),
    DeliveryState.DEAD: NOT_SENT,
    DeliveryState.DROPPED: NOT_SENT,
    DeliveryState.CANCELLED: NOT_SENT,
    DeliveryState.EXPIRED: NOT_SENT,
}


class StatusRow(NamedTuple):
    """A delivery as its recipient sees it. ``at`` is when it ended or, if it still waits, when it was queued."""

    event: str
    channel: str
    status: str
    at: Any


def load_status(user: Any, cluster: Any) -> dict[str, Any]:
    """Return the variables of the page: the newest deliveries of a user in a cluster, without those of links.

    Channels that reach nobody, such as the log, are left out.
    """
    channels = list_reaching_channels()
    rows = Delivery.objects.filter(recipient=user, notification__cluster=cluster, channel__in=channels)
    rows = rows.exclude(notification__event=BuiltInEvents.MAGIC_LINK.value)
    newest = rows.select_related("notification").defer("notification__context").order_by("-pk")[:MAX_ROWS]
    return {"rows": [_build_row(delivery) for delivery in newest], "max_rows": MAX_ROWS}


def _build_row(delivery: Delivery) -> StatusRow:
    notification = delivery.notification
    return StatusRow(
        get_event_name(notification.event),
        get_channel_name(delivery.channel),
        str(STATUS_NAMES[delivery.state]),
        delivery.settled_at or notification.created_at,
    )
