"""The variables that the check of templates expects are those that templates get."""

import pytest

from notifications.delivering.rendering import get_locale
from notifications.delivering.rendering.digest import DIGEST_VARIABLES, build_digest_variables
from notifications.delivering.rendering.templates import COMMON_VARIABLES, build_variables
from notifications.events import NOTIFICATION_EVENTS
from notifications.manager import NotificationManager
from notifications.models import Notification
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db


@pytest.fixture
def sent():
    """A notification whose context is an order number, and its recipient."""
    user = UserFactory()
    result = NotificationManager.send(ShopEvents.ORDER_SHIPPED, user, context={"order_number": "7"})
    return Notification.objects.get(pk=result.notification_id), user


def test_every_template_gets_the_context_and_the_common_variables(sent):
    notification, user = sent
    event = NOTIFICATION_EVENTS[ShopEvents.ORDER_SHIPPED]
    found = build_variables(event, "log", notification, user, get_locale(None))
    assert found.keys() == COMMON_VARIABLES | {"order_number"}


def test_templates_of_digests_and_batches_get_other_variables(sent):
    notification, user = sent
    assert build_digest_variables(notification, "log", "", user, get_locale(None)).keys() == DIGEST_VARIABLES
