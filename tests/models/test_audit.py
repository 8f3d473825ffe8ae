"""Every change of a preference is recorded: who, when, from what to what."""

from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError, transaction

from notifications import clock
from notifications.models import Mute, PreferenceChange, SharedPreference, UserSettings
from tests.factories import ClusterFactory, UserFactory

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def owner():
    return {"user": UserFactory(), "cluster": ClusterFactory()}


def changes():
    return list(PreferenceChange.objects.order_by("pk").values_list("action", "before", "after"))


def test_a_row_is_followed_from_its_first_choice_to_its_end(owner):
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


def test_only_what_was_written_is_told(owner):
    row = UserSettings.objects.create(**owner)
    row.channels, row.language = {"email": False}, "de"
    row.save(update_fields=["language"])
    assert changes()[1:] == [("changed", {"language": ""}, {"language": "de"})]


def test_two_copies_of_a_row_are_told_as_the_table_saw_them(owner):
    UserSettings.objects.create(**owner)
    one, other = UserSettings.objects.get(), UserSettings.objects.get()
    one.language, other.language = "de", "fr"
    one.save()
    other.save()
    assert changes()[2] == ("changed", {"language": "de"}, {"language": "fr"})


def test_who_and_when_are_known(owner):
    boss = UserFactory()
    with clock.override(lambda: NOW):
        UserSettings(**owner).save(by=boss)
        Mute(**owner, kind="topic", value="sale").save()
    assert list(PreferenceChange.objects.order_by("pk").values_list("by", "at")) == [(boss.pk, NOW), (None, NOW)]


def test_addresses_are_masked_and_still_told_when_they_look_alike(owner):
    row = UserSettings.objects.create(**owner, addresses={"email": "ann@example.com"})
    row.addresses = {"email": "amy@example.com"}
    row.save()
    assert changes()[1] == (
        "changed",
        {"addresses": {"email": "a***@example.com"}},
        {"addresses": {"email": "a***@example.com"}},
    )


def test_roles_clusters_and_mutes_are_recorded_too(owner):
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


def test_the_record_outlives_those_it_names(owner):
    UserSettings(**owner).save(by=owner["user"])
    owner["user"].delete()
    owner["cluster"].delete()
    assert PreferenceChange.objects.get().by is None


def test_a_change_that_is_refused_leaves_no_record(owner):
    UserSettings.objects.create(**owner)
    with pytest.raises(IntegrityError), transaction.atomic():
        UserSettings.objects.create(**owner)
    assert len(changes()) == 1
