from enum import Enum

import pytest

from notifications.events import NOTIFICATION_EVENTS, NotificationEvent, NotificationPriority
from notifications.testing import temporary_events
from tests.shop.notification_events import ShopEvents


class Door(Enum):
    OPENED = "door_opened"


EVENT = NotificationEvent("door_opened", NotificationPriority.LOW, ["email"])


def test_registrations_and_removals_of_a_block_are_undone():
    before = dict(NOTIFICATION_EVENTS)
    with temporary_events() as events:
        events[Door.OPENED] = EVENT
        del events[ShopEvents.NEWSLETTER]
        assert events.named("door_opened") is EVENT
        assert events.named("shop_newsletter") is None
    assert dict(NOTIFICATION_EVENTS) == before
    assert NOTIFICATION_EVENTS.named("door_opened") is None
    assert NOTIFICATION_EVENTS.named("shop_newsletter")
    assert Door.OPENED not in [member for member, _ in NOTIFICATION_EVENTS.registrations]


def test_they_are_undone_after_an_error():
    def fail():
        with temporary_events() as events:
            events[Door.OPENED] = EVENT
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert Door.OPENED not in NOTIFICATION_EVENTS


def test_blocks_can_be_nested():
    with temporary_events() as events:
        events[Door.OPENED] = EVENT
        with temporary_events():
            del events[Door.OPENED]
        assert Door.OPENED in events
