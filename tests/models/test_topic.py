"""Subscriptions to topics, and ``Topic`` as a recipient."""

from datetime import UTC, datetime
from enum import Enum

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from notifications.exceptions import InvalidOption
from notifications.manager import NotificationManager
from notifications.models import Cluster, TopicSubscription
from notifications.outcomes import Reason
from notifications.recipients import Members, To, Topic
from notifications.sending.audience import Audience
from notifications.testing import travelling
from tests.factories import ClusterFactory, UserFactory

pytestmark = pytest.mark.django_db
subscribe, unsubscribe = TopicSubscription.objects.subscribe, TopicSubscription.objects.unsubscribe
NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)


class Topics(Enum):
    POOL = "Pool"


@pytest.fixture
def user():
    return UserFactory()


class TestVerbs:
    def test_the_first_time_is_new_and_every_other_is_not(self, user):
        with travelling(NOON):
            assert subscribe(user, "pool")
        assert not subscribe(user, "pool")
        row = TopicSubscription.objects.get()
        assert (row.user, row.topic, row.cluster, row.created_at) == (user, "pool", Cluster.objects.default(), NOON)

    def test_unsubscribing_twice_is_no_error(self, user):
        subscribe(user, "pool")
        assert unsubscribe(user, "pool")
        assert not unsubscribe(user, "pool")
        assert not TopicSubscription.objects.exists()

    @pytest.mark.parametrize("spelling", ["pool", " POOL\n", Topics.POOL])
    def test_there_is_one_spelling(self, user, spelling):
        subscribe(user, "Pool")
        assert not subscribe(user, spelling)
        assert unsubscribe(user, spelling)

    def test_another_user_another_cluster_and_another_topic_are_not_touched(self, user):
        other, cluster = UserFactory(), ClusterFactory()
        kept = [(other, "pool", None), (user, "pool", cluster), (user, "roads", None)]
        for one in [*kept, (user, "pool", None)]:
            assert subscribe(*one)
        assert unsubscribe(user, "pool")
        assert not any(subscribe(*one) for one in kept)

    @pytest.mark.parametrize("wrong", ["", "  ", None, 5, b"pool", "x" * 201, "po\0ol", "\ud800"])
    def test_what_is_no_topic_is_an_error(self, user, wrong):
        for verb in (Topic, lambda topic: subscribe(user, topic), lambda topic: unsubscribe(user, topic)):
            with pytest.raises(InvalidOption, match="1 to 200 plain characters"):
                verb(wrong)

    def test_the_longest_topic_fits(self, user):
        assert subscribe(user, "x" * 200)


def test_rows_that_are_saved_by_hand_have_the_same_spelling(user):
    row = TopicSubscription.objects.create(user=user, cluster=ClusterFactory(), topic=" POOL")
    with pytest.raises(ValidationError, match="already exists"):
        TopicSubscription(user=user, cluster=row.cluster, topic="Pool ").full_clean()
    with pytest.raises(IntegrityError), transaction.atomic():
        TopicSubscription.objects.create(user=user, cluster=row.cluster, topic="Pool")


@pytest.mark.parametrize("gone", [lambda row: row.user, lambda row: row.cluster])
def test_it_goes_with_its_user_and_its_cluster(user, gone):
    subscribe(user, "pool", ClusterFactory())
    gone(TopicSubscription.objects.get()).delete()
    assert not TopicSubscription.objects.exists()


class TestRecipients:
    @pytest.fixture
    def cluster(self):
        users = UserFactory.create_batch(5)
        cluster = ClusterFactory(members=users)
        for user in users:
            subscribe(user, "pool", cluster)
        subscribe(users[0], "roads", cluster)
        subscribe(UserFactory(), "pool", ClusterFactory())
        return cluster

    def found(self, recipients, cluster, size=2):
        audience = Audience(recipients, cluster, ("email", "app"))
        return [pk for chunk in audience.chunks(size) for pk in chunk.user_ids]

    def members(self, cluster):
        return sorted(cluster.members.values_list("pk", flat=True))

    def test_a_topic_is_those_who_subscribed_in_this_cluster(self, cluster):
        assert self.found(Topic("POOL "), cluster) == self.members(cluster)
        assert self.found([Topic("roads")], cluster) == self.members(cluster)[:1]
        assert self.found(Topic("nobody hears of this"), cluster) == []

    def test_they_are_read_in_chunks_of_ids_by_one_query(self, cluster):
        with CaptureQueriesContext(connection) as queries:
            found = list(Audience([Topic("roads"), Topic("pool")], cluster).chunks(2))
        assert [len(chunk.user_ids) for chunk in found] == [2, 2, 1]
        assert len(queries) == 1
        assert "auth_user" not in queries[0]["sql"]

    def test_with_other_sources_they_come_in_one_order_each_once(self, cluster):
        stranger = UserFactory()
        recipients = [stranger, Topic("pool"), To(Topic("roads"), ["app"]), Members(cluster)]
        assert self.found(recipients, cluster) == [*self.members(cluster), stranger.pk]

    def test_a_to_narrows_them(self, cluster):
        [chunk] = Audience([To(Topic("roads"), ["app"])], cluster, ("email", "app")).chunks(10)
        assert list(chunk.channels_by_key.values()) == [{"app"}]

    def test_the_gates_are_asked_as_ever(self, cluster):
        subscribe(UserFactory(), "pool", cluster)
        subscribe(UserFactory(is_active=False), "pool", cluster)
        result = NotificationManager.send("message", Topic("pool"), cluster, {"message": "Hi"}, channels=["app"])
        assert (result.queued, result.reasons) == (5, {Reason.NOT_MEMBER: 1, Reason.INACTIVE: 1})

    def test_a_site_without_tenants_names_no_cluster(self, user):
        subscribe(user, "pool")
        assert NotificationManager.send("message", Topic("pool"), None, {"message": "Hi"}, channels=["app"]).queued == 1
