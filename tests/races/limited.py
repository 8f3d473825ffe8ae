"""Sends into an outbox that has a limit."""

from django.test import override_settings

from notifications.manager import NotificationManager
from notifications.recipients import Members
from tests.shop.notification_events import ShopEvents


def send_into(limit, times, **more):
    """How many deliveries each of so many sends to all members has queued."""
    with override_settings(NOTIFICATIONS={"CHANNELS": {"log": {}}, "QUEUE_LIMIT": limit, **more}):
        return [
            NotificationManager.send(ShopEvents.ORDER_REFUSED, Members(None), None, {}).queued for _ in range(times)
        ]
