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


class TestSubscriptions:
    def test_only_the_first_subscription_is_new(self, user):
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
    def test_topics_are_normalized(self, user, spelling):
        subscribe(user, "Pool")
        assert not subscribe(user, spelling)
        assert unsubscribe(user, spelling)

    def test_other_users_clusters_and_topics_are_not_affected(self, user):
        other, cluster = UserFactory(), ClusterFactory()
        kept = [(other, "pool", None), (user, "pool", cluster), (user, "roads", None)]
        for arguments in [*kept, (user, "pool", None)]:
            assert subscribe(*arguments)
        assert unsubscribe(user, "pool")
        assert not any(subscribe(*arguments) for arguments in kept)

    @pytest.mark.parametrize("wrong", ["", "  ", None, 5, b"pool", "x" * 201, "po\0ol", "\ud800"])
    def test_an_invalid_topic_is_an_error(self, user, wrong):
        for function in (Topic, lambda topic: subscribe(user, topic), lambda topic: unsubscribe(user, topic)):
            with pytest.raises(InvalidOption, match="1 to 200 plain characters"):
                function(wrong)

    def test_the_longest_topic_fits(self, user):
        assert subscribe(user, "x" * 200)


def test_topics_of_saved_rows_are_normalized(user):
    row = TopicSubscription.objects.create(user=user, cluster=ClusterFactory(), topic=" POOL")
    with pytest.raises(ValidationError, match="already exists"):
        TopicSubscription(user=user, cluster=row.cluster, topic="Pool ").full_clean()
    with pytest.raises(IntegrityError), transaction.atomic():
        TopicSubscription.objects.create(user=user, cluster=row.cluster, topic="Pool")


@pytest.mark.parametrize("get_related", [lambda row: row.user, lambda row: row.cluster])
def test_it_is_deleted_with_its_user_and_its_cluster(user, get_related):
    subscribe(user, "pool", ClusterFactory())
    get_related(TopicSubscription.objects.get()).delete()
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

    def find_users(self, recipients, cluster, size=2):
        audience = Audience(recipients, cluster, ("email", "app"))
        return [pk for chunk in audience.chunks(size) for pk in chunk.user_ids]

    def members(self, cluster):
        return sorted(cluster.members.values_list("pk", flat=True))

    def test_a_topic_means_its_subscribers_in_the_cluster(self, cluster):
        assert self.find_users(Topic("POOL "), cluster) == self.members(cluster)
        assert self.find_users([Topic("roads")], cluster) == self.members(cluster)[:1]
        assert self.find_users(Topic("nobody subscribes to this"), cluster) == []

    def test_one_query_reads_chunks_of_ids(self, cluster):
        with CaptureQueriesContext(connection) as queries:
            found = list(Audience([Topic("roads"), Topic("pool")], cluster).chunks(2))
        assert [len(chunk.user_ids) for chunk in found] == [2, 2, 1]
        assert len(queries) == 1
        assert "auth_user" not in queries[0]["sql"]

    def test_subscribers_are_merged_with_other_recipients_without_duplicates(self, cluster):
        stranger = UserFactory()
        recipients = [stranger, Topic("pool"), To(Topic("roads"), ["app"]), Members(cluster)]
        assert self.find_users(recipients, cluster) == [*self.members(cluster), stranger.pk]

    def test_to_limits_the_channels(self, cluster):
        [chunk] = Audience([To(Topic("roads"), ["app"])], cluster, ("email", "app")).chunks(10)
        assert list(chunk.channels_by_key.values()) == [{"app"}]

    def test_the_gates_are_called(self, cluster):
        subscribe(UserFactory(), "pool", cluster)
        subscribe(UserFactory(is_active=False), "pool", cluster)
        result = NotificationManager.send("message", Topic("pool"), cluster, {"message": "Hi"}, channels=["app"])
        assert (result.queued, result.reasons) == (5, {Reason.NOT_MEMBER: 1, Reason.INACTIVE: 1})

    def test_a_site_without_tenants_passes_no_cluster(self, user):
        subscribe(user, "pool")
        assert NotificationManager.send("message", Topic("pool"), None, {"message": "Hi"}, channels=["app"]).queued == 1
