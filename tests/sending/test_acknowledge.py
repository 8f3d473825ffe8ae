"""``acknowledge()``."""

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser, Group

from notifications.exceptions import InvalidOption, NotPermitted
from notifications.manager import NotificationManager
from notifications.models import Acknowledgement, Delivery, Notification
from notifications.outcomes import SendResult
from notifications.signals import notification_acknowledged
from notifications.testing import travelling
from tests.factories import ClusterFactory, UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db


@pytest.fixture
def user():
    return UserFactory()


@pytest.fixture
def cluster(user):
    return ClusterFactory(members=[user])


@pytest.fixture
def notification(user, cluster):
    result = NotificationManager.send(ShopEvents.STORE_ON_FIRE, user, cluster, {"place": "hall"})
    return Notification.objects.get(pk=result.notification_id)


@pytest.fixture
def received():
    found = []

    def listener(notification, user, partition, **kwargs):
        found.append((notification.pk, user.pk, partition))

    notification_acknowledged.connect(listener)
    yield found
    notification_acknowledged.disconnect(listener)


def test_an_acknowledgement_is_stored_once_with_its_time(user, notification):
    with travelling() as clock:
        assert NotificationManager.acknowledge(notification, user) is True
        first = clock.time
        clock.forward(minutes=1)
        assert NotificationManager.acknowledge(notification, user) is False
    row = Acknowledgement.objects.get()
    assert (row.notification, row.user, row.at) == (notification, user, first)
    assert str(notification) in str(row)


def test_the_signal_is_sent_once_after_the_commit(user, notification, received, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        NotificationManager.acknowledge(notification, user)
        NotificationManager.acknowledge(notification, user)
        assert received == []
    assert received == [(notification.pk, user.pk, "default")]


@pytest.mark.parametrize("who", ["another", "anonymous"])
def test_only_a_recipient_can_acknowledge(who, notification, cluster):
    other = {"another": UserFactory(), "anonymous": AnonymousUser()}[who]
    if who == "another":
        cluster.members.add(other)
    with pytest.raises(NotPermitted, match="not one of its recipients"):
        NotificationManager.acknowledge(notification, other)
    assert not Acknowledgement.objects.exists()


def test_a_former_member_of_the_cluster_cannot_acknowledge(user, cluster, notification):
    cluster.members.remove(user)
    with pytest.raises(NotPermitted, match="no longer a member of its cluster"):
        NotificationManager.acknowledge(notification, user)


def test_an_inactive_user_cannot_acknowledge_even_if_the_callers_object_is_active(user, notification):
    get_user_model().objects.update(is_active=False)
    with pytest.raises(NotPermitted, match="they are inactive"):
        NotificationManager.acknowledge(notification, user)
    assert not Acknowledgement.objects.exists()


@pytest.mark.parametrize("who", [None, 1, "ann", Group(name="staff"), UserFactory.build()])
def test_only_a_saved_user_can_acknowledge(who, notification):
    with pytest.raises(InvalidOption, match="saved user|takes the user"):
        NotificationManager.acknowledge(notification, who)


@pytest.mark.parametrize("what", ["nothing", "key", "result", "delivery", "unsaved"])
def test_only_a_saved_notification_can_be_acknowledged(what, user, notification):
    things = {"nothing": None, "key": notification.pk, "result": SendResult(notification.pk)}
    things |= {"delivery": Delivery.objects.first(), "unsaved": Notification(cluster=notification.cluster)}
    with pytest.raises(InvalidOption, match="takes a saved Notification"):
        NotificationManager.acknowledge(things[what], user)


def test_an_acknowledgement_is_deleted_with_its_notification_or_user(user, notification):
    NotificationManager.acknowledge(notification, user)
    notification.delete()
    assert not Acknowledgement.objects.exists()
