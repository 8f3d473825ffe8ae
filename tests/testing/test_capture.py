"""``capture_notifications()``."""

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from notifications.events import NotificationChannel
from notifications.exceptions import UnknownEvent
from notifications.manager import NotificationManager
from notifications.recipients import Address
from notifications.testing import capture_notifications, travelling
from tests.factories import ClusterFactory, UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)


def ship(*recipients, **options):
    return NotificationManager.send(ShopEvents.ORDER_SHIPPED, recipients, None, {"order_number": "7"}, **options)


@pytest.fixture
def user():
    return UserFactory()


def test_only_notifications_of_the_block_are_captured(user):
    ship(user)
    with capture_notifications() as captured:
        captured.assert_nothing_queued()
        second = ship(user)
        assert [row.pk for row in captured.notifications] == [second.notification_id]
    assert captured.deliveries.count() == 2


def test_it_can_be_read_within_the_block_and_after(user):
    with capture_notifications() as captured:
        ship(user)
        assert captured.deliveries.count() == 2
        ship(user)
    assert captured.deliveries.count() == 4


def test_deliveries_are_found_by_recipient_event_and_channel(user):
    contact = Address(email="ann@example.com")
    with capture_notifications() as captured:
        ship(user, contact)
        NotificationManager.send(ShopEvents.NEWSLETTER, [user])
    assert len(captured.to(user)) == 3
    assert len(captured.to(user, ShopEvents.ORDER_SHIPPED)) == 2
    assert len(captured.to(user, "shop_newsletter")) == 1
    assert len(captured.to(user, channel=NotificationChannel.EMAIL)) == 2
    assert [row.address for row in captured.to(contact)] == ["ann@example.com"]
    assert captured.to(UserFactory()) == []


def test_an_unknown_event_or_channel_is_an_error(user):
    with capture_notifications() as captured:
        ship(user)
    for ask in (partial(captured.to, user), partial(captured.assert_queued, to=user)):
        with pytest.raises(UnknownEvent, match="odrer_shipped"):
            ask("odrer_shipped")
        with pytest.raises(ValueError, match=r"There is no channel 'emial'\. Known channels: app, email, log\."):
            ask(ShopEvents.ORDER_SHIPPED, channel="emial")


def test_asserting_that_something_was_queued(user):
    with capture_notifications() as captured:
        ship(user, channels=["app"])
    captured.assert_queued(ShopEvents.ORDER_SHIPPED, to=user)
    captured.assert_queued("order_shipped", to=user, channel="app")


@pytest.mark.parametrize(("event", "channel"), [("shop_newsletter", None), ("order_shipped", "email")])
def test_a_failed_assertion_lists_the_queued_notifications(user, event, channel):
    with capture_notifications() as captured:
        ship(user, UserFactory(is_active=False), channels=["app"])
    with pytest.raises(AssertionError, match=f"No '{event}'.*order_shipped to u:{user.pk} by app.*inactive"):
        captured.assert_queued(event, to=user, channel=channel)
    with pytest.raises(AssertionError, match="order_shipped"):
        captured.assert_nothing_queued()


def test_drops_are_captured_with_their_reason(user):
    with capture_notifications() as captured:
        NotificationManager.send(ShopEvents.NEWSLETTER, [user], ClusterFactory())
    captured.assert_nothing_queued()
    assert [(row.recipient, row.reason) for row in captured.dropped] == [(user, "not_member")]


def test_only_captured_notifications_are_delivered(user, mailoutbox):
    ship(UserFactory())
    with capture_notifications() as captured:
        ship(user)
        assert captured.deliver() == {"sent": 2}
    assert [mail.to for mail in mailoutbox] == [[user.email]]
    assert captured.deliver() == {}


def test_delivering_nothing_delivers_nothing(user, mailoutbox):
    ship(user)
    with capture_notifications() as captured:
        assert captured.deliver() == {}
    assert mailoutbox == []


def test_held_deliveries_are_delivered_at_their_time(user, mailoutbox):
    with travelling(NOON) as travel, capture_notifications() as captured:
        NotificationManager.send(ShopEvents.NEWSLETTER, [user], send_at=NOON + timedelta(hours=1))
        assert captured.deliver() == {}
        travel.forward(hours=1)
        assert captured.deliver() == {"sent": 1}
