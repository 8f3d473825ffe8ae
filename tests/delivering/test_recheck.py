"""The worker rechecks deliveries before it sends them."""

from datetime import timedelta

import pytest
from django.utils import timezone

from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery, NotificationLog
from notifications.outcomes import Verdict
from notifications.storage.outbox import StateChange
from notifications.testing import temporary_events, travelling
from tests.delivering.scripted import dispatch, get_delivery, refuse_orders
from tests.factories import ClusterFactory, UserFactory, UserSettingsFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db


def test_deliveries_of_a_removed_channel_are_dead(scripted_channel, settings):
    refuse_orders()
    settings.NOTIFICATIONS = {}
    assert dispatch() == {"dead": 1}
    assert get_delivery().reason == "channel_not_configured"
    assert NotificationLog.objects.get().kind == "attempt"


def test_deliveries_of_a_removed_event_are_dead(scripted_channel):
    refuse_orders()
    with temporary_events() as events:
        del events[ShopEvents.ORDER_REFUSED]
        assert dispatch() == {"dead": 1}
    assert get_delivery().reason == "unknown_event"


def test_a_user_who_left_the_cluster_gets_nothing(scripted_channel):
    user = UserFactory()
    cluster = ClusterFactory(members=[user])
    NotificationManager.send(ShopEvents.ORDER_REFUSED, user, cluster, {})
    cluster.members.remove(user)
    assert dispatch() == {"dropped": 1}
    assert scripted_channel.given == []
    [row] = NotificationLog.objects.all()
    assert (row.kind, row.reason, row.delivery_id) == ("drop", "not_member", get_delivery().pk)


def test_a_user_who_opted_out_since_gets_nothing(scripted_channel):
    user = UserFactory()
    NotificationManager.send(ShopEvents.ORDER_REFUSED, user, None, {})
    UserSettingsFactory(user=user, cluster=Cluster.objects.default(), channels={"LOG": False})
    assert dispatch() == {"dropped": 1}


def test_a_deleted_user_gets_nothing_and_the_log_stays(scripted_channel):
    user = UserFactory()
    NotificationManager.send(ShopEvents.ORDER_REFUSED, user, None, {})
    user.delete()
    assert dispatch() == {"dropped": 1}
    assert NotificationLog.objects.get().reason == "unknown_user"


def test_a_deactivated_user_gets_nothing(scripted_channel):
    user = UserFactory()
    NotificationManager.send(ShopEvents.ORDER_REFUSED, user, None, {})
    user.is_active = False
    user.save()
    assert dispatch() == {"dropped": 1}


def test_an_expired_delivery_is_not_sent(scripted_channel):
    with travelling() as clock:
        refuse_orders(expires_at=clock() + timedelta(minutes=5))
        clock.forward(minutes=5)
        assert dispatch() == {"expired": 1}
    assert get_delivery().state == "expired"


def test_a_cancelled_delivery_is_not_sent(scripted_channel):
    refuse_orders(cancel_key="order-7")
    assert NotificationManager.cancel(Cluster.objects.default(), "order-7") == 1
    assert dispatch() == {}
    assert get_delivery().state == "cancelled"


@pytest.fixture
def cancelled_while_sending(scripted_channel, monkeypatch):
    """Cancel the notification while the provider has the message."""
    original = scripted_channel.send

    def send(self, messages):
        assert NotificationManager.cancel(None, "order-7") == 0
        return original(self, messages)

    monkeypatch.setattr(scripted_channel, "send", send)


def test_a_delivery_cancelled_while_its_provider_fails_is_not_retried(scripted_channel, cancelled_while_sending):
    scripted_channel.answers = [Verdict.TEMPORARY]
    with travelling() as clock:
        refuse_orders(cancel_key="order-7")
        assert dispatch() == {"retry": 1}
        clock.forward(minutes=1)
        assert dispatch() == {"cancelled": 1}
    assert len(scripted_channel.given) == 1
    assert get_delivery().settled_at is not None
    assert list(NotificationLog.objects.order_by("pk").values_list("kind", "reason")) == [
        ("attempt", "temporary"),
        ("drop", "cancelled"),
    ]


def test_a_delivery_cancelled_while_its_provider_accepts_it_is_sent(cancelled_while_sending):
    refuse_orders(cancel_key="order-7")
    assert dispatch() == {"sent": 1}


def test_a_delivery_cancelled_while_claimed_and_given_back_is_not_sent(scripted_channel):
    refuse_orders(cancel_key="order-7")
    now = timezone.now()
    [row] = Delivery.objects.claim("one", now, 1)
    assert NotificationManager.cancel(None, "order-7") == 0
    Delivery.objects.settle([StateChange(row.pk, row.fence, "claimed", "ready")], now)
    assert (dispatch(), scripted_channel.given) == ({"cancelled": 1}, [])


def test_a_dead_and_cancelled_delivery_is_not_resent(scripted_channel):
    scripted_channel.answers = [Verdict.PERMANENT]
    refuse_orders(cancel_key="order-7")
    dispatch()
    NotificationManager.cancel(None, "order-7")
    NotificationManager.resend(get_delivery(), "the provider works again")
    assert dispatch() == {"cancelled": 1}
