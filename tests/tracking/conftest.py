"""A delivery that was sent, and what a provider or a mail server names it by."""

import pytest

from notifications.manager import NotificationManager
from notifications.models import Delivery
from notifications.testing import capture_notifications
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents


def send_newsletter(user=None, cluster=None, provider_message_id=""):
    """Send a newsletter to a new user and return its delivery."""
    with capture_notifications() as captured:
        NotificationManager.send(ShopEvents.NEWSLETTER, user or UserFactory(), cluster)
    assert captured.deliver() == {"sent": 1}
    if provider_message_id:
        captured.deliveries.update(provider_message_id=provider_message_id)
    return captured.deliveries.get()


@pytest.fixture
def delivery(db) -> Delivery:
    return send_newsletter()
