"""Fixtures that several tests of explanations share."""

import pytest

from notifications.core import clock as database_clock
from notifications.events import NotificationEvent, NotificationPriority
from notifications.models import Cluster, Heartbeat, UserSettings
from notifications.testing import temporary_events, travelling
from tests.explain.helpers import MIDNIGHT, Alarms
from tests.factories import UserFactory


@pytest.fixture
def user():
    return UserFactory()


@pytest.fixture
def choose(user):
    """A function that saves settings of the user."""

    def choose(**values):
        owner = {"user": user, "cluster": Cluster.objects.default()}
        return UserSettings.objects.update_or_create(**owner, defaults=values)[0]

    return choose


@pytest.fixture
def declare():
    """A function that declares an event."""
    with temporary_events() as events:

        def declare(priority=NotificationPriority.MEDIUM, channels=("email",), **more):
            events[Alarms.SMOKE] = NotificationEvent("smoke", priority, channels, **more)
            return Alarms.SMOKE

        yield declare


@pytest.fixture
def worker():
    Heartbeat.objects.beat("one", "here", 1, database_clock.now())


@pytest.fixture
def clock():
    """A clock that stands at midnight."""
    with travelling(MIDNIGHT) as clock:
        yield clock
