"""Fixtures that several tests of sending share."""

from enum import Enum

import pytest

from notifications.events import NotificationEvent, NotificationPriority
from notifications.signals import notifications_queued
from notifications.testing import temporary_events
from tests.factories import UserFactory
from tests.sending.alarms import MEDIUM, Alarms


@pytest.fixture
def user(db):
    return UserFactory()


@pytest.fixture
def queued_ids():
    """The ids of the notifications for which ``notifications_queued`` was sent."""
    found = []

    def listener(notification_ids, partition, **kwargs):
        assert partition == "default"
        found.extend(notification_ids)

    notifications_queued.connect(listener)
    yield found
    notifications_queued.disconnect(listener)


@pytest.fixture
def event_with(db):
    """Return a function that registers an event for the test."""

    class Test(Enum):
        EVENT = "test_event"

    with temporary_events() as events:

        def event_with(priority=NotificationPriority.MEDIUM, channels=("email",), **options):
            events[Test.EVENT] = NotificationEvent("test_event", priority, channels, **options)
            return Test.EVENT

        yield event_with


@pytest.fixture
def declare():
    with temporary_events() as events:

        def declare(member=Alarms.SMOKE, priority=MEDIUM, channels=("email", "app"), window=900, **more):
            more = {"dedup_keys": ("room",), **more}
            events[member] = NotificationEvent(member.value, priority, channels, dedup_window=window, **more)

        declare()
        yield declare
