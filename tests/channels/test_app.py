"""The inbox channel."""

from datetime import UTC, datetime, timedelta

import pytest

from notifications.channels.app import AppChannel
from notifications.manager import NotificationManager
from notifications.models import Delivery, InboxItem, NotificationLog
from notifications.outcomes import DeliveryState
from notifications.testing import capture_notifications, travelling
from notifications.testing.contract import ChannelContract
from tests.factories import ClusterFactory, UserFactory
from tests.shop.notification_events import ShopEvents

NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)


class TestContract(ChannelContract):
    def make_channel(self):
        return AppChannel()


def send(*users, order_number="7", **options):
    return NotificationManager.send(
        ShopEvents.ORDER_SHIPPED, users, ClusterFactory(members=users), {"order_number": order_number},
        channels=["app"], **options,
    )  # fmt: skip


@pytest.mark.django_db
class TestAnItem:
    def test_has_the_rendered_text_and_properties(self):
        user = UserFactory(username="ann")
        with travelling(NOON), capture_notifications() as captured:
            send(user, topic="orders")
            captured.deliver()
        item, delivery = InboxItem.objects.get(), Delivery.objects.get()
        assert (item.title, item.body.split(",")[0]) == ("Order 7 is on its way", "Hello ann")
        assert (item.event, item.priority, item.topic) == ("order_shipped", 3, "orders")
        assert (item.recipient, item.cluster, item.delivery) == (user, delivery.notification.cluster, delivery)
        assert (item.created_at, item.read_at) == (NOON, None)

    def test_has_the_time_of_send_at(self):
        with travelling(NOON) as travel, capture_notifications() as captured:
            send(UserFactory(), send_at=NOON + timedelta(hours=1))
            captured.deliver()
            assert not InboxItem.objects.exists()
            travel.forward(hours=3)
            captured.deliver()
        assert InboxItem.objects.get().created_at == NOON + timedelta(hours=1)

    def test_has_a_truncated_title(self):
        with capture_notifications() as captured:
            send(UserFactory(), order_number="7" * 1000)
            captured.deliver()
        assert len(InboxItem.objects.get().title) == 255

    def test_appears_once_with_its_state_and_its_log_row(self):
        with capture_notifications() as captured:
            send(*UserFactory.create_batch(3))
            assert captured.deliver() == {DeliveryState.SENT: 3}
            captured.deliver()
        assert InboxItem.objects.count() == 3
        assert NotificationLog.objects.filter(success=True, provider="inbox").count() == 3

    def test_is_not_duplicated_when_it_is_resent(self):
        with capture_notifications() as captured:
            send(UserFactory())
            captured.deliver()
            Delivery.objects.update(state="ready")
            captured.deliver()
        assert InboxItem.objects.count() == 1
        assert Delivery.objects.get().state == DeliveryState.SENT
