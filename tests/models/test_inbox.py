"""Inbox items."""

import pytest
from django.utils import timezone

from notifications.manager import NotificationManager
from notifications.models import Delivery, InboxItem, Notification
from notifications.testing import capture_notifications
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db


@pytest.fixture
def users():
    users = UserFactory.create_batch(2)
    with capture_notifications() as captured:
        for number in ("7", "8"):
            NotificationManager.send(ShopEvents.ORDER_SHIPPED, users, None, {"order_number": number}, channels=["app"])
    captured.deliver()
    return users


def test_users_see_only_their_own_items(users):
    assert [item.recipient for item in InboxItem.objects.of(users[0])] == [users[0]] * 2


def test_the_newest_comes_first(users):
    assert [str(item) for item in InboxItem.objects.of(users[0])] == [
        "Order 8 is on its way",
        "Order 7 is on its way",
    ]


def test_an_item_is_marked_as_read_once(users):
    now = timezone.now()
    items = InboxItem.objects.of(users[0])
    assert items.unread().count() == 2
    assert items.mark_read(now) == 2
    assert items.unread().count() == 0
    assert items.mark_read(timezone.now()) == 0
    assert {item.read_at for item in items} == {now}
    assert InboxItem.objects.of(users[1]).unread().count() == 2


def test_an_existing_item_stays_unchanged(users):
    item = InboxItem.objects.of(users[0]).first()
    InboxItem.objects.filter(pk=item.pk).update(title="Existing")
    second = InboxItem.objects.get(pk=item.pk)
    second.pk, second.title = None, "Another"
    InboxItem.objects.add_items([second])
    assert InboxItem.objects.count() == 4
    assert InboxItem.objects.get(pk=item.pk).title == "Existing"


def test_an_item_keeps_its_own_text_when_the_notification_is_purged(users):
    Notification.objects.all().delete()
    assert not Delivery.objects.exists()
    assert InboxItem.objects.of(users[0]).first().body.startswith(f"Hello {users[0].username}, order 8")


def test_adding_no_items_is_no_error():
    InboxItem.objects.add_items([])
    assert not InboxItem.objects.exists()
