import dataclasses
from datetime import UTC, datetime

import pytest

from notifications.delivering.workers.worker import Worker
from notifications.events import NOTIFICATION_EVENTS
from notifications.models import Cluster
from notifications.testing import temporary_events, travelling
from tests.factories import UserFactory, UserSettingsFactory
from tests.shop.notification_events import ShopEvents
from tests.upkeep import without_upkeep

# A Friday, 11:00 in Berlin.
FRIDAY = datetime(2026, 11, 20, 10, tzinfo=UTC)


@pytest.fixture
def clock():
    with travelling(FRIDAY) as clock, without_upkeep():
        yield clock


@pytest.fixture
def batched():
    """Batch order_shipped with a window of a quarter of an hour."""
    with temporary_events():
        event = NOTIFICATION_EVENTS[ShopEvents.ORDER_SHIPPED]
        NOTIFICATION_EVENTS[ShopEvents.ORDER_SHIPPED] = dataclasses.replace(event, batch_window=900)
        yield


@pytest.fixture
def reader():
    """A user with a daily digest at 8:00 in Berlin."""
    return with_digest("daily")


def with_digest(kind, **chosen):
    user = UserFactory()
    hours = {"digest_hour": 8, "time_zone": "Europe/Berlin", **chosen}
    UserSettingsFactory(user=user, cluster=Cluster.objects.default(), digest=kind, **hours)
    return user


def work():
    """Run a worker once, as cron does."""
    return Worker(workers=1).drain()
