"""Calls of ``send()`` that several tests make."""

from datetime import UTC, datetime

from notifications.manager import NotificationManager
from tests.shop.notification_events import ShopEvents

SHIPPED = {"order_number": "7"}
NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)


def send(recipients, event=ShopEvents.ORDER_SHIPPED, context=SHIPPED, cluster=None, **options):
    return NotificationManager.send(event, recipients, cluster, context, **options)


def send_newsletter(recipients, cluster=None, **options):
    """Send an event that has only the channel email."""
    return send(recipients, ShopEvents.NEWSLETTER, {}, cluster, **options)
