"""A full outbox: refused whole, or the least urgent makes room; what is critical always gets in."""

from functools import partial

import pytest

from notifications.exceptions import InvalidContext
from notifications.manager import NotificationManager
from notifications.models import Delivery, Notification, NotificationLog
from tests.factories import ClusterFactory, UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db


@pytest.fixture
def limits(settings):
    def limits(**keys):
        settings.NOTIFICATIONS = {"CHANNELS": {"log": {}}, **keys}

    return limits


def newsletter(count=1, cluster=None):
    users = UserFactory.create_batch(count)
    if cluster:
        cluster.members.add(*users)
    return NotificationManager.send(ShopEvents.NEWSLETTER, users, cluster)


def alarm():
    return NotificationManager.send(ShopEvents.STORE_ON_FIRE, UserFactory(), None, {"place": "hall"})


def refused_order():
    return NotificationManager.send(ShopEvents.ORDER_REFUSED, UserFactory(), None, {})


def test_a_full_outbox_refuses_a_send_and_says_so(limits):
    limits(QUEUE_LIMIT=2)
    assert newsletter(2)
    result = newsletter()
    assert not result
    assert (result.queued, dict(result.reasons)) == (0, {"queue_full": 1})
    assert Delivery.objects.count() == 2
    assert NotificationLog.objects.get().reason == "queue_full"


def test_a_refused_send_may_come_again_with_its_key(limits):
    limits(QUEUE_LIMIT=1)
    newsletter()
    again = partial(NotificationManager.send, ShopEvents.NEWSLETTER, UserFactory(), idempotency_key="spring")
    refused = [again(), again()]
    assert [(result.duplicate, dict(result.reasons)) for result in refused] == [(False, {"queue_full": 1})] * 2
    assert NotificationLog.objects.count() == 2
    Delivery.objects.update(state="sent")
    first = again()
    assert (first.duplicate, first.queued) == (False, 1)
    assert (again().duplicate, again().notification_id) == (True, first.notification_id)


def test_a_send_is_never_cut_in_half(limits):
    limits(QUEUE_LIMIT=2)
    newsletter(1)
    assert newsletter(50).queued == 50


def test_what_is_finished_takes_no_room(limits):
    limits(QUEUE_LIMIT=2)
    newsletter(2)
    Delivery.objects.update(state="sent")
    assert newsletter().queued == 1


def test_what_is_critical_is_never_refused(limits):
    limits(QUEUE_LIMIT=1)
    newsletter(5)
    assert alarm().queued == 2


def test_a_clusters_limit_is_its_own(limits):
    limits(CLUSTER_QUEUE_LIMIT=1)
    home, away = ClusterFactory(), ClusterFactory()
    assert newsletter(cluster=home)
    assert not newsletter(cluster=home)
    assert newsletter(cluster=away)


def test_shedding_drops_the_least_urgent_with_its_reason(limits):
    limits(QUEUE_LIMIT=3, QUEUE_FULL="shed")
    newsletter(3)
    assert refused_order().queued == 1
    assert sorted(Delivery.objects.values_list("state", flat=True)) == ["dropped", "ready", "ready", "ready"]
    row = NotificationLog.objects.get()
    assert (row.reason, row.event, row.kind) == ("shed", "shop_newsletter", "drop")
    assert row.address.endswith("***@example.com"), "like every row of the log, it has the masked address"


def test_shedding_never_drops_what_is_as_urgent_or_more(limits):
    limits(QUEUE_LIMIT=2, QUEUE_FULL="shed")
    alarm()
    assert not newsletter()
    Delivery.objects.all().delete()
    newsletter(2)
    assert not newsletter()
    assert set(Delivery.objects.values_list("state", flat=True)) == {"ready"}


def test_nothing_is_shed_for_a_send_that_is_refused_all_the_same(limits):
    limits(QUEUE_LIMIT=3, CLUSTER_QUEUE_LIMIT=1, QUEUE_FULL="shed")
    home, user = ClusterFactory(), UserFactory()
    home.members.add(user)
    newsletter(2)
    NotificationManager.send(ShopEvents.ORDER_REFUSED, user, home, {})
    assert not NotificationManager.send(ShopEvents.ORDER_REFUSED, user, home, {})
    assert set(Delivery.objects.values_list("state", flat=True)) == {"ready"}


def test_what_is_shed_for_all_makes_room_in_its_cluster_too(limits):
    limits(QUEUE_LIMIT=2, CLUSTER_QUEUE_LIMIT=2, QUEUE_FULL="shed")
    newsletter(2)
    assert refused_order().queued == 1
    assert Delivery.objects.filter(state="dropped").count() == 1


def test_what_a_worker_has_taken_is_not_shed(limits):
    limits(QUEUE_LIMIT=1, QUEUE_FULL="shed")
    newsletter()
    Delivery.objects.update(state="retry")
    assert not refused_order()


def test_without_a_limit_nothing_is_counted(limits, django_assert_max_num_queries):
    limits()
    cluster, user = ClusterFactory(), UserFactory()
    cluster.members.add(user)
    with django_assert_max_num_queries(10):
        NotificationManager.send(ShopEvents.NEWSLETTER, user, cluster)


@pytest.mark.parametrize("event", [ShopEvents.NEWSLETTER, ShopEvents.STORE_ON_FIRE])
def test_a_context_that_is_too_large_is_refused_with_the_setting_to_change(limits, event):
    limits(CONTEXT_BYTES=100)
    with pytest.raises(InvalidContext, match="CONTEXT_BYTES"):
        NotificationManager.send(event, UserFactory(), None, {"place": "x" * 100})
    assert not Notification.objects.exists()
    assert NotificationManager.send(event, UserFactory(), None, {"place": "x" * 80})
