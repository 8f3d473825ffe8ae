"""Constants and functions that several tests of explanations share."""

from datetime import UTC, datetime, time
from enum import Enum

from notifications.manager import NotificationManager
from notifications.models import Delivery, Notification
from tests.shop.notification_events import ShopEvents

MIDNIGHT = datetime(2026, 11, 21, 23, tzinfo=UTC)
SEVEN = datetime(2026, 11, 22, 6, tzinfo=UTC)
NIGHT = {"quiet_from": time(22), "quiet_until": time(7), "time_zone": "Europe/Berlin"}
ORDER = {"order_number": "7"}


class Alarms(Enum):
    SMOKE = "smoke"


def explain(recipient, event=ShopEvents.ORDER_SHIPPED, context=ORDER, cluster=None, **options):
    return NotificationManager.explain(event, recipient, cluster, context, **options)


def send(recipients, **options):
    """Send a newsletter, by email only."""
    result = NotificationManager.send(ShopEvents.NEWSLETTER, recipients, None, {}, **options)
    return Notification.objects.get(pk=result.notification_id)


def why(subject, recipient=None):
    """Return the explanation for the only channel."""
    [channel] = NotificationManager.why(subject, recipient).channels
    return channel


def put(**values):
    """Update the only delivery."""
    Delivery.objects.update(**values)
    return Delivery.objects.get()
