"""Every change of a preference is recorded with the user, the time and both values."""

from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError, NotSupportedError, connection, transaction
from django.db.models import F, Subquery
from django.test.utils import CaptureQueriesContext

from notifications.core import clock
from notifications.models import Mute, PreferenceChange, SharedPreference, TopicSubscription, UserSettings
from tests.factories import ClusterFactory, UserFactory, UserSettingsFactory

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def owner():
    return {"user": UserFactory(), "cluster": ClusterFactory()}


def changes():
    return list(PreferenceChange.objects.order_by("pk").values_list("action", "before", "after"))


def test_adding_changing_and_deleting_a_row_is_recorded(owner):
    row = UserSettings(**owner, channels={"EMAIL": False})
    row.save()
    row.set_channel("email", True)
    row.language = "de"
    row.save()
    row.delete()
    assert changes() == [
        ("added", {}, {"channels": {"email": False}}),
        ("changed", {"channels": {"email": False}, "language": ""}, {"channels": {"email": True}, "language": "de"}),
        ("deleted", {"channels": {"email": True}, "language": "de"}, {}),
    ]
    assert set(PreferenceChange.objects.values_list("table", "subject", "cluster")) == {
        ("usersettings", f"u:{owner['user'].pk}", owner["cluster"].pk)
    }


def test_saving_without_a_change_records_nothing(owner):
    row = UserSettings.objects.create(**owner)
    row.save()
    assert [action for action, *_ in changes()] == ["added"]


def test_only_saved_columns_are_recorded(owner):
    row = UserSettings.objects.create(**owner)
    row.channels, row.language = {"email": False}, "de"
    row.save(update_fields=["language"])
    assert changes()[1:] == [("changed", {"language": ""}, {"language": "de"})]


def test_changes_of_two_copies_are_recorded_as_the_table_changed(owner):
    UserSettings.objects.create(**owner)
    one, other = UserSettings.objects.get(), UserSettings.objects.get()
    one.language, other.language = "de", "fr"
    one.save()
    other.save()
    assert changes()[2] == ("changed", {"language": "de"}, {"language": "fr"})


def test_the_user_and_the_time_are_recorded(owner):
    boss = UserFactory()
    with clock.override(lambda: NOW):
        UserSettings(**owner).save(by=boss)
        Mute(**owner, kind="topic", value="sale").save()
    assert list(PreferenceChange.objects.order_by("pk").values_list("by", "at")) == [(boss.pk, NOW), (None, NOW)]


def test_addresses_with_the_same_mask_are_recorded_as_a_change(owner):
    row = UserSettings.objects.create(**owner, addresses={"email": "ann@example.com"})
    row.addresses = {"email": "amy@example.com"}
    row.save()
    assert changes()[1] == (
        "changed",
        {"addresses": {"email": "a***@example.com"}},
        {"addresses": {"email": "a***@example.com"}},
    )


def test_changes_of_roles_clusters_and_mutes_are_recorded(owner):
    cluster = owner["cluster"]
    nurses = Group.objects.create(name="Nurses")
    SharedPreference(cluster=cluster, group=nurses, channels={"sms": True}).save()
    SharedPreference(cluster=cluster, rank=3).save()
    Mute(**owner, kind="topic", value="Sale", until=NOW).save()
    rows = PreferenceChange.objects.order_by("pk").values_list("table", "subject", "after")
    assert list(rows) == [
        ("sharedpreference", "role Nurses", {"group_id": nurses.pk, "channels": {"sms": True}}),
        ("sharedpreference", "cluster", {"rank": 3}),
        ("mute", f"u:{owner['user'].pk}", {"kind": "topic", "value": "sale", "until": "2026-03-01T12:00:00Z"}),
    ]


def test_the_record_remains_when_user_and_cluster_are_deleted(owner):
    UserSettings(**owner).save(by=owner["user"])
    owner["user"].delete()
    owner["cluster"].delete()
    assert PreferenceChange.objects.get().by is None


def test_a_failed_change_is_not_recorded(owner):
    UserSettings.objects.create(**owner)
    with pytest.raises(IntegrityError), transaction.atomic():
        UserSettings.objects.create(**owner)
    assert len(changes()) == 1


class TestQuerysets:
    def test_an_update_records_each_row_that_it_changes(self, owner):
        boss = UserFactory()
        UserSettings.objects.create(**owner, language="de")
        UserSettings.objects.create(user=boss, cluster=owner["cluster"], language="fr")
        assert UserSettings.objects.order_by("-pk").update(language="fr", digest_hour=8, by=boss) == 2
        assert changes()[2:] == [("changed", {"language": "de"}, {"language": "fr"})]
        change = PreferenceChange.objects.latest("pk")
        assert (change.by, change.subject) == (boss, f"u:{owner['user'].pk}")

    def test_an_update_may_change_a_column_of_its_filter(self, owner):
        UserSettings.objects.create(**owner, language="de")
        other = UserSettingsFactory(language="it")
        others_language = Subquery(UserSettings.objects.filter(pk=other.pk).values("language"))
        german = UserSettings.objects.annotate(new=others_language).filter(language="de")
        assert german.update(language=F("new")) == 1
        assert changes()[2:] == [("changed", {"language": "de"}, {"language": "it"})]

    def test_bulk_changes_are_recorded_for_each_row(self, owner):
        others = [UserSettings(user=UserFactory(), cluster=owner["cluster"], channels={"email": False}) for _ in "ab"]
        UserSettings.objects.bulk_create(others, by=owner["user"])
        for row in others:
            row.language = "de"
        assert UserSettings.objects.bulk_update(others, ["language"]) == 2
        UserSettings.objects.all().delete(by=owner["user"])
        before = {"channels": {"email": False}}
        assert changes() == [
            *[("added", {}, before)] * 2,
            *[("changed", {"language": ""}, {"language": "de"})] * 2,
            *[("deleted", {**before, "language": "de"}, {})] * 2,
        ]
        by = PreferenceChange.objects.order_by("pk").values_list("by", flat=True)
        assert list(by) == [owner["user"].pk] * 2 + [None] * 2 + [owner["user"].pk] * 2

    @pytest.mark.parametrize("conflicts", ["ignore_conflicts", "update_conflicts"])
    def test_a_change_that_cannot_be_recorded_is_refused(self, owner, conflicts):
        with pytest.raises(NotSupportedError, match=r"Use get_or_create\(\) or update_or_create\(\) for each row"):
            UserSettings.objects.bulk_create([UserSettings(**owner)], **{conflicts: True})
        assert not UserSettings.objects.exists()

    @pytest.mark.parametrize("count", [1, 20])
    def test_the_number_of_statements_does_not_grow_with_the_rows(self, owner, count, django_assert_max_num_queries):
        groups = [Group.objects.create(name=f"Role {number}") for number in range(count)]
        rows = [SharedPreference(cluster=owner["cluster"], group=group) for group in groups]
        with django_assert_max_num_queries(8):
            SharedPreference.objects.bulk_create(rows)
        with django_assert_max_num_queries(8):
            SharedPreference.objects.update(rank=3)
        with django_assert_max_num_queries(9):
            SharedPreference.objects.all().delete()
        assert PreferenceChange.objects.count() == 3 * count

    def test_columns_that_are_no_preferences_are_not_recorded(self, owner):
        UserSettings.objects.create(**owner)
        with CaptureQueriesContext(connection) as queries:
            UserSettings.objects.update(digest_asked_at=NOW)
        assert len(queries) == 1
        UserSettings.objects.update(language="")
        assert len(changes()) == 1

    def test_a_failed_update_is_not_recorded(self, owner):
        UserSettings.objects.create(**owner)
        with pytest.raises(IntegrityError), transaction.atomic():
            UserSettings.objects.update(language=None)
        assert len(changes()) == 1

    def test_malformed_addresses_are_masked(self, owner):
        UserSettings.objects.create(**owner)
        UserSettings.objects.update(addresses="ann@example.com")
        assert changes()[1] == ("changed", {"addresses": {}}, {"addresses": "a***@example.com"})


def assign(row, user):
    row.user = user
    row.save()


@pytest.mark.parametrize(
    "move",
    [
        lambda row, user: UserSettings.objects.filter(pk=row.pk).update(user=user),
        lambda row, user: UserSettings.objects.bulk_update([UserSettings(pk=row.pk, user=user)], ["user"]),
        lambda row, user: user.notification_settings.add(row),
        assign,
    ],
    ids=["update", "bulk_update", "related manager", "save"],
)
def test_a_change_of_the_user_is_recorded_for_both_users(owner, move):
    row, new_owner = UserSettings.objects.create(**owner, language="de"), UserFactory()
    move(row, new_owner)
    assert UserSettings.objects.get().user == new_owner
    rows = PreferenceChange.objects.order_by("pk").values_list("action", "subject", "before", "after")
    assert list(rows)[1:] == [
        ("deleted", f"u:{owner['user'].pk}", {"language": "de"}, {}),
        ("added", f"u:{new_owner.pk}", {}, {"language": "de"}),
    ]


def test_a_change_of_the_cluster_is_recorded_in_both_clusters(owner):
    row, other = UserSettings.objects.create(**owner), ClusterFactory()
    row.cluster = other
    row.save()
    rows = PreferenceChange.objects.order_by("pk").values_list("action", "cluster")
    assert list(rows)[1:] == [("deleted", owner["cluster"].pk), ("added", other.pk)]


def test_topic_subscriptions_are_recorded(owner):
    user, cluster = owner["user"], owner["cluster"]
    topics = TopicSubscription.objects
    topics.subscribe(user, "Pool", cluster)
    topics.subscribe(user, "pool", cluster)
    topics.unsubscribe(user, "pool", cluster)
    topics.unsubscribe(user, "pool", cluster)
    assert changes() == [("added", {}, {"topic": "pool"}), ("deleted", {"topic": "pool"}, {})]
    assert set(PreferenceChange.objects.values_list("table", "subject", "cluster")) == {
        ("topicsubscription", f"u:{user.pk}", cluster.pk)
    }
