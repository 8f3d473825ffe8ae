"""A site whose endpoints may be on loopback, and an event that they get."""

from enum import Enum

import pytest

from notifications.delivering.dispatcher import Dispatcher
from notifications.events import NOTIFICATION_EVENTS, NotificationEvent, NotificationPriority
from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery
from notifications.webhooks import create_endpoint
from tests.channels.http_services import Answer, http_service
from tests.factories import UserFactory

OPTIONS = {"allow_http": True, "allow": ["127.0.0.0/8"], "timeout": 2}
NOTIFICATIONS = {
    "CHANNELS": {"webhook": {"OPTIONS": OPTIONS}},
    "BASE_URL": "https://shop.example.com",
    "RETRY_JITTER": 0,
}


class WebhookEvents(Enum):
    ORDER_SHIPPED = "order_shipped"
    ORDER_RETURNED = "order_returned"


@pytest.fixture(scope="package")
def running_service():
    with http_service(Answer(204)) as service:
        yield service


@pytest.fixture
def service(running_service):
    running_service.reset()
    running_service.default = Answer(204)
    running_service.__dict__.pop("answer", None)
    return running_service


@pytest.fixture(autouse=True)
def site(settings):
    settings.NOTIFICATIONS = NOTIFICATIONS
    with NOTIFICATION_EVENTS.restored():
        for event in WebhookEvents:
            NOTIFICATION_EVENTS[event] = NotificationEvent(
                event.value, NotificationPriority.MEDIUM, ["webhook"], context=None
            )
        yield


@pytest.fixture
def owner(db):
    return UserFactory()


@pytest.fixture
def cluster(db):
    return Cluster.objects.default()


@pytest.fixture
def created(service, cluster, owner):
    return create_endpoint(None, f"{service.url}/hook", owner=owner, description="The shop")


@pytest.fixture
def endpoint(created):
    return created.endpoint


def send(event=WebhookEvents.ORDER_SHIPPED, recipients=(), **options):
    options.setdefault("context", {"order": "A-1"})
    return NotificationManager.send(event, list(recipients), **options)


def work(times=1):
    dispatcher = Dispatcher()
    try:
        for _ in range(times):
            dispatcher.run_batch(100)
    finally:
        dispatcher.close()


def make_due():
    """Let everything that waits for its retry be due."""
    Delivery.objects.filter(state="retry").update(due_at=None, state="ready")
