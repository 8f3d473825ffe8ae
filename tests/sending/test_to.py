"""``To``: different channels for some recipients, and groups."""

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from notifications.exceptions import InvalidOption
from notifications.manager import NotificationManager
from notifications.models import Delivery, Notification
from notifications.outcomes import Reason
from notifications.recipients import Address, Members, To
from tests.factories import ClusterFactory, UserFactory, UserSettingsFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db
CONTEXT = {"order_number": "7"}


def send(recipients, cluster=None, **options):
    return NotificationManager.send(ShopEvents.ORDER_SHIPPED, recipients, cluster, CONTEXT, **options)


def read_deliveries():
    return list(Delivery.objects.order_by("pk").values_list("recipient__username", "channel"))


def test_each_recipient_gets_the_channels_of_every_to_that_names_them():
    for name in ("ann", "bob", "eve"):
        UserFactory(username=name)
    ann, bob = User.objects.filter(username__in=["ann", "bob"]).order_by("username")
    result = send([To(User.objects.all(), ["app"]), To(ann, ["email"]), bob])
    assert read_deliveries() == [("ann", "email"), ("ann", "app"), ("bob", "email"), ("bob", "app"), ("eve", "app")]
    assert (result.queued, result.dropped) == (5, 0)


def test_preferences_apply():
    user, cluster = UserFactory(), ClusterFactory()
    cluster.members.add(user)
    UserSettingsFactory(user=user, cluster=cluster, channels={"app": False})
    assert send([To(user, ["app"])], cluster).reasons == {Reason.PREFERENCE: 1}


def test_a_to_narrows_the_channels_of_the_call():
    with pytest.raises(InvalidOption, match=r"those of the call \(email\); app cannot be added"):
        send([To(UserFactory(), ["app"])], channels=["email"])
    assert not Notification.objects.exists()


def test_an_unconfigured_channel_is_in_the_result_if_a_to_names_it(settings):
    settings.NOTIFICATIONS = {"CHANNELS": {"email": {"ENABLED": False}}}
    user, other = UserFactory.create_batch(2)
    result = send([To(user, ["email"]), other])
    assert (result.queued, result.refused_channels, bool(result)) == (1, ("email",), False)
    assert send([To(user, ["app"]), other]).refused_channels == ()


def test_a_repeated_idempotent_call_names_the_same_channels(settings):
    settings.NOTIFICATIONS = {"CHANNELS": {"email": {"ENABLED": False}}}
    to = [To(UserFactory(), ["email"])]
    first, again = (send(to, idempotency_key="order-7") for _ in range(2))
    assert (again.duplicate, again.refused_channels, bool(again)) == (True, first.refused_channels, bool(first))
    assert first.refused_channels == ("email",)


def test_an_address_is_narrowed_too():
    assert send([To(Address(email="ann@example.com"), ["email"])]).as_dict()["reasons"] == {}


def test_a_group_user_who_is_not_in_the_cluster_is_dropped():
    group, member, stranger = Group.objects.create(name="guards"), UserFactory(), UserFactory()
    group.user_set.set([member, stranger])
    for recipients in (group, Group.objects.all(), [group], To(group, ["email", "app"])):
        result = send(recipients, ClusterFactory(members=[member]))
        assert (result.queued, result.reasons) == (2, {Reason.NOT_MEMBER: 2})


@pytest.mark.parametrize("size", [3, 100])
def test_a_chunk_takes_the_same_number_of_statements_with_tos(size, settings):
    settings.NOTIFICATIONS = {"CHUNK_SIZE": size}
    cluster = ClusterFactory(members=UserFactory.create_batch(size * 2))
    group = Group.objects.create(name="guards")
    group.user_set.set(cluster.members.all())

    def cost(recipients):
        with CaptureQueriesContext(connection) as queries:
            send(recipients, cluster)
        return len([query for query in queries if "SAVEPOINT" not in query["sql"]])

    mixture = [To(group, ["app"]), To(User.objects.all(), ["email"]), To(Members(cluster), ["app"])]
    # Three sources instead of one, in the same number of chunks.
    assert cost(mixture) == cost(Members(cluster)) + 2
