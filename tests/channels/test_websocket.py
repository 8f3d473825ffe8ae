"""The channel for messages that open pages show for a moment."""

from datetime import UTC, datetime, timedelta

import pytest

from notifications.channels.websocket import WebSocketChannel
from notifications.events import NOTIFICATION_EVENTS, NotificationEvent, NotificationPriority
from notifications.live.cleanup import delete_expired
from notifications.manager import NotificationManager
from notifications.models import Delivery, InboxItem, LiveMessage, NotificationLog, UserSettings
from notifications.testing import capture_notifications, temporary_events, travelling
from notifications.testing.contract import ChannelContract
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)
CHANNELS = ["app", "websocket"]


class TestContract(ChannelContract):
    def make_channel(self):
        return WebSocketChannel()


@pytest.mark.parametrize("ttl", [0, -1, 3601])
def test_a_ttl_is_at_most_an_hour(ttl):
    with pytest.raises(ValueError, match="'ttl' must be"):
        WebSocketChannel(ttl)


@pytest.mark.django_db
class TestAMessage:
    @pytest.fixture(autouse=True)
    def site(self, settings, tmp_path):
        folder = tmp_path / "notifications" / "order_shipped"
        folder.mkdir(parents=True)
        (folder / "websocket.txt").write_text("Order {{ order_number }} has left")
        settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
        settings.NOTIFICATIONS = {"CHANNELS": {"app": {}, "websocket": {}}}
        self.user = UserFactory()
        with temporary_events():
            NOTIFICATION_EVENTS[ShopEvents.ORDER_SHIPPED] = NotificationEvent(
                "order_shipped",
                NotificationPriority.HIGH,
                CHANNELS,
                context={"order_number": str},
                url="/orders/{order_number}/",
            )
            yield

    def send(self, *channels):
        with travelling(NOON) as travel, capture_notifications() as captured:
            result = NotificationManager.send(
                ShopEvents.ORDER_SHIPPED, [self.user], None, {"order_number": "7"}, channels=channels
            )
            captured.deliver()
            travel.forward(seconds=1)
        return result

    def explain(self, *channels):
        found = NotificationManager.explain(
            ShopEvents.ORDER_SHIPPED, self.user, None, {"order_number": "7"}, channels=channels
        )
        return {one.channel: one for one in found.channels}

    def test_has_the_rendered_text_and_the_url_of_the_event_and_lives_for_a_minute(self):
        self.send("websocket")
        message = LiveMessage.objects.get()
        assert message.content == {
            "title": "Order shipped",
            "text": "Order 7 has left",
            "label": "Order shipped",
            "url": "/orders/7/",
            "icon": "",
            "priority": "high",
        }
        assert message.expires_at == NOON + timedelta(minutes=1)
        assert LiveMessage.objects.load_current([self.user.pk], NOON) == [message]
        assert LiveMessage.objects.load_current([self.user.pk], NOON + timedelta(minutes=1)) == []
        assert not InboxItem.objects.exists()

    def test_is_deleted_after_its_time(self):
        self.send("websocket")
        delete_expired(NOON + timedelta(seconds=59), lambda: False)
        assert LiveMessage.objects.exists()
        delete_expired(NOON + timedelta(minutes=1), lambda: False)
        assert not LiveMessage.objects.exists()

    def test_is_covered_by_the_inbox_item(self):
        result = self.send(*reversed(CHANNELS))
        assert dict(result.reasons) == {"covered": 1}
        assert Delivery.objects.get().channel == "app"
        assert not LiveMessage.objects.exists()
        dropped = NotificationLog.objects.get(channel="websocket")
        assert (dropped.reason, dropped.error_message) == ("covered", "the recipient gets it on the channel app")

    def test_is_sent_to_a_user_who_does_not_want_it_in_the_app(self):
        UserSettings(user=self.user, channels={"app": False}).save()
        assert dict(self.send(*CHANNELS).reasons) == {"preference": 1}
        assert LiveMessage.objects.count() == 1

    def test_is_explained(self):
        covered = self.explain(*CHANNELS)["websocket"]
        assert covered.answer.reason == "covered"
        assert "the recipient gets it on the channel app" in covered.summary
        assert "It would be sent" in self.explain("websocket")["websocket"].summary
