"""Queuing of deliveries, and their states."""

from django.contrib.auth.models import User
from django.db.models import Count

from notifications.manager import NotificationManager
from notifications.models import Delivery
from tests.shop.notification_events import ShopEvents


def send(count=1, **options):
    """Send one notification with this many deliveries on the log channel."""
    before = User.objects.count()
    User.objects.bulk_create(User(username=f"user{before + number}") for number in range(count))
    users = User.objects.order_by("-pk")[:count]
    return NotificationManager.send(ShopEvents.ORDER_REFUSED, users, None, {}, **options)


def states():
    """Return how many deliveries are in each state."""
    return dict(Delivery.objects.values_list("state").annotate(Count("pk")))
