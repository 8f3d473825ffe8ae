"""A full outbox: sends are refused or less urgent ones are shed; CRITICAL events are always queued."""

from collections import Counter
from dataclasses import replace
from functools import partial

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from notifications.exceptions import InvalidContext
from notifications.manager import NotificationManager
from notifications.models import AttachedFile, Delivery, Fingerprint, Notification, NotificationLog
from notifications.testing import temporary_events
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


def send_order():
    return NotificationManager.send(ShopEvents.ORDER_REFUSED, UserFactory(), None, {})


def test_a_full_outbox_refuses_a_send(limits):
    limits(QUEUE_LIMIT=2)
    assert newsletter(2)
    result = newsletter()
    assert not result
    assert (result.queued, dict(result.reasons)) == (0, {"queue_full": 1})
    assert Delivery.objects.count() == 2
    assert NotificationLog.objects.get().reason == "queue_full"


def test_a_refused_send_can_be_repeated_with_its_key(limits):
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


def test_a_send_is_never_queued_in_part(limits):
    limits(QUEUE_LIMIT=20, CHUNK_SIZE=5)
    newsletter(1)
    refused = newsletter(20)
    assert (bool(refused), refused.queued, dict(refused.reasons)) == (False, 0, {"queue_full": 1})
    assert Delivery.objects.count() == 1
    assert newsletter(19).queued == 19


def test_dropped_recipients_take_no_room(limits):
    limits(QUEUE_LIMIT=3)
    users = [*UserFactory.create_batch(3), *UserFactory.create_batch(5, is_active=False)]
    result = NotificationManager.send(ShopEvents.NEWSLETTER, users)
    assert (result.queued, dict(result.reasons)) == (3, {"inactive": 5})
    nobody = NotificationManager.send(ShopEvents.NEWSLETTER, users[3:])
    assert dict(nobody.reasons) == {"inactive": 5}, "where nothing is queued, a full outbox is no reason"


def test_a_refused_send_leaves_only_one_row(limits):
    """No attached file, no reserved fingerprint and no row for recipients who would have been dropped anyway."""
    limits(QUEUE_LIMIT=2, CHUNK_SIZE=2)
    with temporary_events() as registry:
        registry[ShopEvents.NEWSLETTER] = replace(
            registry.find(ShopEvents.NEWSLETTER), dedup_window=900, dedup_keys=(), digest=False
        )
        users = [UserFactory(is_active=False), *UserFactory.create_batch(3)]
        send = partial(NotificationManager.send, ShopEvents.NEWSLETTER, attachments=[("a.txt", b"a")])
        assert dict(send(users).reasons) == {"queue_full": 1}
        assert (Fingerprint.objects.count(), AttachedFile.objects.count(), NotificationLog.objects.count()) == (0, 0, 1)
        assert send(users[:3]).queued == 2


def test_finished_deliveries_take_no_room(limits):
    limits(QUEUE_LIMIT=2)
    newsletter(2)
    Delivery.objects.update(state="sent")
    assert newsletter().queued == 1


def test_critical_events_are_never_refused(limits):
    limits(QUEUE_LIMIT=1)
    newsletter(5)
    assert alarm().queued == 2


def test_the_limit_of_a_cluster_does_not_concern_others(limits):
    limits(CLUSTER_QUEUE_LIMIT=1)
    home, away = ClusterFactory(), ClusterFactory()
    assert newsletter(cluster=home)
    assert not newsletter(cluster=home)
    assert newsletter(cluster=away)


def test_shedding_drops_the_least_urgent_with_its_reason(limits):
    limits(QUEUE_LIMIT=3, QUEUE_FULL="shed")
    for _ in range(3):
        newsletter()
    assert send_order().queued == 1
    assert sorted(Delivery.objects.values_list("state", flat=True)) == ["dropped", "ready", "ready", "ready"]
    row = NotificationLog.objects.get()
    assert (row.reason, row.event, row.kind) == ("shed", "shop_newsletter", "drop")
    assert row.address.endswith("***@example.com"), "like every row of the log, it has the masked address"


def states_of(result):
    return Counter(Delivery.objects.filter(notification=result.notification_id).values_list("state", flat=True))


def test_only_as_much_is_shed_as_a_send_needs(limits):
    limits(QUEUE_LIMIT=30, QUEUE_FULL="shed", CHUNK_SIZE=7)
    first, second, third = newsletter(10), newsletter(5), newsletter(15)
    orders = NotificationManager.send(ShopEvents.ORDER_REFUSED, UserFactory.create_batch(18), None, {})
    assert orders.queued == 18
    assert (states_of(first), states_of(second)) == ({"ready": 10}, {"dropped": 5})
    assert states_of(third) == {"dropped": 15}, "the newest goes first"
    assert NotificationLog.objects.filter(reason="shed").count() == 20
    assert Delivery.objects.filter(state="ready").count() == 28


def test_a_send_larger_than_everything_sheddable_is_refused_and_sheds_nothing(limits):
    limits(QUEUE_LIMIT=30, QUEUE_FULL="shed")
    newsletter(30)
    refused = NotificationManager.send(ShopEvents.ORDER_REFUSED, UserFactory.create_batch(31), None, {})
    assert dict(refused.reasons) == {"queue_full": 1}
    assert set(Delivery.objects.values_list("state", flat=True)) == {"ready"}
    assert NotificationManager.send(ShopEvents.ORDER_REFUSED, UserFactory.create_batch(30), None, {}).queued == 30


@pytest.mark.parametrize("begun", ["claimed", "sending", "sent", "retry", "unknown", "merged", "dead", "cancelled"])
def test_a_send_that_has_begun_is_not_shed(limits, begun):
    limits(QUEUE_LIMIT=5, QUEUE_FULL="shed")
    waiting, begun_send = newsletter(2), newsletter(3)
    Delivery.objects.filter(pk=Delivery.objects.filter(notification=begun_send.notification_id).first().pk).update(
        state=begun
    )
    newsletter(5 - Delivery.objects.filter(state__in=("ready", "retry")).count())
    Delivery.objects.exclude(notification__in=[waiting.notification_id, begun_send.notification_id]).update(score=99)
    for _ in range(2):
        assert send_order().queued == 1
    assert not send_order()
    assert (states_of(waiting), states_of(begun_send)) == ({"dropped": 2}, {"ready": 2, begun: 1})


def test_a_digest_is_not_shed_but_its_waiting_items_may_be(limits):
    limits(QUEUE_LIMIT=3, QUEUE_FULL="shed")
    digest, waiting = newsletter(), newsletter(2)
    Notification.objects.filter(pk=digest.notification_id).update(digest_kind="daily")
    Delivery.objects.filter(notification=waiting.notification_id).update(state="held", reason="digest")
    assert send_order().queued == 1
    assert (states_of(digest), states_of(waiting)) == ({"ready": 1}, {"dropped": 2})
    assert send_order().queued == 1
    assert not send_order()
    assert states_of(digest) == {"ready": 1}


def test_a_send_to_nobody_sheds_nothing(limits):
    limits(QUEUE_LIMIT=1, QUEUE_FULL="shed")
    newsletter()
    alarm()
    NotificationManager.send(ShopEvents.ORDER_REFUSED, UserFactory(is_active=False), None, {})
    assert set(Delivery.objects.values_list("state", flat=True)) == {"ready"}


def test_the_lowest_score_is_shed_first(limits):
    limits(QUEUE_LIMIT=2, QUEUE_FULL="shed")
    low, high = newsletter(), newsletter()
    Delivery.objects.filter(notification=high.notification_id).update(score=20)
    Delivery.objects.filter(notification=low.notification_id).update(score=10)
    send_order()
    assert (states_of(low), states_of(high)) == ({"dropped": 1}, {"ready": 1})


def test_a_clusters_own_sends_make_room_for_it(limits):
    limits(QUEUE_LIMIT=4, CLUSTER_QUEUE_LIMIT=2, QUEUE_FULL="shed")
    home, away, user = ClusterFactory(), ClusterFactory(), UserFactory()
    home.members.add(user)
    here, there = newsletter(2, home), newsletter(2, away)
    assert NotificationManager.send(ShopEvents.ORDER_REFUSED, user, home, {}).queued == 1
    assert (states_of(here), states_of(there)) == ({"dropped": 2}, {"ready": 2})


def test_a_large_send_sheds_in_few_statements(limits):
    limits(QUEUE_LIMIT=2000, QUEUE_FULL="shed")
    users = UserFactory.create_batch(2)
    for _ in range(3):
        newsletter(1)
    User.objects.bulk_create(User(username=f"m{number}", email=f"m{number}@example.com") for number in range(1997))
    NotificationManager.send(ShopEvents.NEWSLETTER, User.objects.filter(username__startswith="m"))
    with CaptureQueriesContext(connection) as few:
        NotificationManager.send(ShopEvents.ORDER_REFUSED, users, None, {})
    assert Delivery.objects.filter(state="dropped").count() == 1997
    assert len(few) < 60


def test_explain_checks_whether_all_channels_fit(limits):
    channels = {"email": {}, "app": {}}
    call = ShopEvents.ORDER_SHIPPED, UserFactory(), None, {"order_number": "7", "eta": None}
    limits(QUEUE_LIMIT=2, CHANNELS=channels)
    assert [channel.arrives_at is not None for channel in NotificationManager.explain(*call).channels] == [True, True]
    assert NotificationManager.send(*call, channels=["email"]).queued == 1
    assert [channel.answer.reason for channel in NotificationManager.explain(*call).channels] == ["queue_full"] * 2
    assert NotificationManager.explain(*call, channels=["app"]).channels[0].arrives_at
    limits(QUEUE_LIMIT=2, QUEUE_FULL="shed", CHANNELS=channels)
    Delivery.objects.update(score=1)
    assert [channel.arrives_at is not None for channel in NotificationManager.explain(*call).channels] == [True, True]
    assert set(Delivery.objects.values_list("state", flat=True)) == {"ready"}, "explain() sheds nothing"


def test_shedding_never_drops_equally_or_more_urgent_sends(limits):
    limits(QUEUE_LIMIT=2, QUEUE_FULL="shed")
    alarm()
    assert not newsletter()
    Delivery.objects.all().delete()
    newsletter(2)
    assert not newsletter()
    assert set(Delivery.objects.values_list("state", flat=True)) == {"ready"}


def test_nothing_is_shed_for_a_refused_send(limits):
    limits(QUEUE_LIMIT=3, CLUSTER_QUEUE_LIMIT=1, QUEUE_FULL="shed")
    home, user = ClusterFactory(), UserFactory()
    home.members.add(user)
    newsletter(2)
    NotificationManager.send(ShopEvents.ORDER_REFUSED, user, home, {})
    assert not NotificationManager.send(ShopEvents.ORDER_REFUSED, user, home, {})
    assert set(Delivery.objects.values_list("state", flat=True)) == {"ready"}


def test_shedding_for_the_site_makes_room_in_the_cluster_too(limits):
    limits(QUEUE_LIMIT=2, CLUSTER_QUEUE_LIMIT=2, QUEUE_FULL="shed")
    newsletter()
    newsletter()
    assert send_order().queued == 1
    assert Delivery.objects.filter(state="dropped").count() == 1


def test_claimed_deliveries_are_not_shed(limits):
    limits(QUEUE_LIMIT=1, QUEUE_FULL="shed")
    newsletter()
    Delivery.objects.update(state="retry")
    assert not send_order()


def test_without_a_limit_nothing_is_counted(limits, django_assert_max_num_queries):
    limits()
    cluster, user = ClusterFactory(), UserFactory()
    cluster.members.add(user)
    with django_assert_max_num_queries(10):
        NotificationManager.send(ShopEvents.NEWSLETTER, user, cluster)


def test_a_context_that_is_too_large_is_refused_with_the_setting_to_change(limits):
    limits(CONTEXT_BYTES=100)
    with pytest.raises(InvalidContext, match="CONTEXT_BYTES"):
        NotificationManager.send(ShopEvents.NEWSLETTER, UserFactory(), None, {"place": "x" * 100})
    assert not Notification.objects.exists()
    assert NotificationManager.send(ShopEvents.NEWSLETTER, UserFactory(), None, {"place": "x" * 80})
