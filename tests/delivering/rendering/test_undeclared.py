"""What the check of templates takes for given is what templates get."""

import pytest

from notifications.delivering.rendering import locale_of
from notifications.delivering.rendering.merged import GIVEN_WHEN_GATHERED, gathered_words
from notifications.delivering.rendering.variables import GIVEN, variables
from notifications.events import NOTIFICATION_EVENTS
from notifications.manager import NotificationManager
from notifications.models import Notification
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db


@pytest.fixture
def sent():
    """A notification that gives its templates nothing but an order number, and who gets it."""
    user = UserFactory()
    result = NotificationManager.send(ShopEvents.ORDER_SHIPPED, user, context={"order_number": "7"})
    return Notification.objects.get(pk=result.notification_id), user


def test_every_template_gets_the_context_and_what_is_always_given(sent):
    notification, user = sent
    event = NOTIFICATION_EVENTS[ShopEvents.ORDER_SHIPPED]
    found = variables(event, "log", notification, user, locale_of(None))
    assert found.keys() == GIVEN | {"order_number"}


def test_those_of_digests_and_batches_get_others(sent):
    notification, user = sent
    assert gathered_words(notification, "log", "", user, locale_of(None)).keys() == GIVEN_WHEN_GATHERED
