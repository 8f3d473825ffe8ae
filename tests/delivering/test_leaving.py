"""A user who leaves a cluster gets none of its deliveries, whatever they wait for."""

from datetime import UTC, datetime, time, timedelta

import pytest
from django.core import mail

from notifications.delivering.workers.worker import Worker
from notifications.events import NOTIFICATION_EVENTS, NotificationEvent, NotificationPriority
from notifications.manager import NotificationManager
from notifications.models import Delivery, InboxItem, NotificationLog
from notifications.outcomes import DeliveryState
from notifications.testing import temporary_events, travelling
from tests.factories import ClusterFactory, UserFactory, UserSettingsFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db
NIGHT = datetime(2026, 11, 20, 23, tzinfo=UTC)
WAITING = {
    "quiet hours": ({"quiet_from": time(22), "quiet_until": time(7)}, {}),
    "a window": ({"delivery_windows": {"*": [["08:00", "12:00"]]}}, {}),
    "a digest": ({"digest": "daily"}, {}),
    "a batch": ({}, {"batch_window": 900}),
    "its time": ({}, {}),
    "nothing": ({}, {}),
}


@pytest.mark.parametrize("why", WAITING)
def test_waiting_deliveries_are_dropped_and_logged(why):
    chosen, declared = WAITING[why]
    user, other = UserFactory(), UserFactory()
    cluster = ClusterFactory(members=[user, other])
    UserSettingsFactory(user=user, cluster=cluster, **chosen)
    options = {"send_at": NIGHT + timedelta(hours=5)} if why == "its time" else {}
    with travelling(NIGHT) as clock, temporary_events():
        NOTIFICATION_EVENTS[ShopEvents.NEWSLETTER] = NotificationEvent(
            "shop_newsletter", NotificationPriority.LOW, ["email"], **declared
        )
        for _ in range(2):
            result = NotificationManager.send(ShopEvents.NEWSLETTER, [user], cluster, {}, **options)
            assert (result.held, result.queued) == ((0, 1) if why == "nothing" else (1, 0))
        cluster.members.remove(user)
        for _ in range(10):
            clock.forward(hours=12)
            Worker(workers=1).drain()
        assert NotificationManager.send(ShopEvents.NEWSLETTER, [user], cluster, {}).reasons == {"not_member": 1}
    assert (mail.outbox, InboxItem.objects.count()) == ([], 0)
    assert set(Delivery.objects.values_list("state", "reason")) == {(DeliveryState.DROPPED, "not_member")}
    assert NotificationLog.objects.filter(kind="drop", reason="not_member").count() == 3
