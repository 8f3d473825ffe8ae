"""The levels of preferences: the user decides, then their roles, then the cluster, then the defaults."""

import subprocess
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError, transaction
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from notifications.core.rules import describe_rule
from notifications.events import NotificationEvent, NotificationPriority
from notifications.manager import NotificationManager
from notifications.models import NotificationLog, SharedPreference, UserSettings
from notifications.models.preferences import resolve_preference
from notifications.outcomes import Deliver, Drop, Reason
from notifications.recipients import Address
from notifications.sending.gates import Facts, Person, load_people, preferences
from notifications.testing import capture_notifications
from tests.factories import ClusterFactory, UserFactory, UserSettingsFactory
from tests.processes import finished, start
from tests.shop.notification_events import ShopEvents

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
ON, OFF = {"channels": {"email": True}}, {"channels": {"email": False}}
BY_EVENT, BY_CATEGORY = {"events": {"bill_due": {"email": False}}}, {"categories": {"billing": {"email": False}}}


def user_row(**choices):
    return UserSettings(**choices)


def role(name="Nurses", rank=0, **choices):
    return SharedPreference(group=Group(pk=len(name), name=name), rank=rank, **choices)


def unsaved_role(**choices):
    """Return a shared preference as an adapter creates it if its roles are not Django groups."""
    return SharedPreference(group=Group(name="Guards"), **choices)


def cluster(**choices):
    return SharedPreference(**choices)


def resolve_levels(*levels):
    wanted, rule = resolve_preference(levels, "bill_due", "billing", "email")
    return wanted, describe_rule(rule)


@pytest.mark.parametrize(
    ("levels", "answer"),
    [
        ([], (True, "system: on")),
        ([user_row(), role(), cluster()], (True, "system: on")),
        ([cluster(**OFF)], (False, "cluster: channel email is off")),
        ([cluster(**BY_EVENT)], (False, "cluster: event bill_due by email is off")),
        ([cluster(**OFF), role(**ON)], (True, "role Nurses: channel email is on")),
        ([cluster(**ON), role(**BY_CATEGORY)], (False, "role Nurses: category billing by email is off")),
        ([cluster(**OFF), role(**OFF), user_row(**ON)], (True, "user: channel email is on")),
        ([cluster(**ON), role(**ON), user_row(**BY_CATEGORY)], (False, "user: category billing by email is off")),
        ([cluster(**OFF), unsaved_role(**ON)], (True, "role Guards: channel email is on")),
        ([unsaved_role(rank=2, **OFF), role(rank=1, **ON)], (True, "role Nurses: channel email is on")),
        ([user_row(channels={"app": False}), cluster(**OFF)], (False, "cluster: channel email is off")),
        ([user_row(channels={"EMAIL": True}), cluster(**OFF)], (True, "user: channel email is on")),
    ],
)
def test_the_first_level_with_a_choice_decides_and_is_named(levels, answer):
    assert resolve_levels(*levels) == resolve_levels(*reversed(levels)) == answer


def test_within_a_level_the_most_specific_choice_decides_but_a_disabled_channel_stays_off():
    both = {"categories": {"billing": False}, "events": {"bill_due": {"email": True}}}
    assert resolve_levels(role(**both, **ON)) == (True, "role Nurses: event bill_due by email is on")
    assert resolve_levels(role(**BY_CATEGORY, **ON)) == (False, "role Nurses: category billing by email is off")
    assert resolve_levels(role(**both, **OFF)) == (False, "role Nurses: channel email is off")


def test_among_roles_an_opt_out_decides_then_the_first_by_name():
    assert resolve_levels(role("Nurses", **ON), role("All", **OFF)) == (False, "role All: channel email is off")
    assert resolve_levels(role("Nurses", **ON), role("All", **ON), role("Zoo")) == (
        True,
        "role All: channel email is on",
    )


def test_among_roles_the_lowest_rank_decides():
    assert resolve_levels(role("Nurses", 1, **ON), role("All", 2, **OFF)) == (True, "role Nurses: channel email is on")
    assert resolve_levels(role("Nurses", 1), role("All", 2, **OFF)) == (False, "role All: channel email is off")


OPINIONS = st.sampled_from([{}, ON, OFF, BY_EVENT, BY_CATEGORY])


@hypothesis_settings(deadline=None)
@given(OPINIONS, st.lists(st.tuples(st.text("AB", min_size=1, max_size=2), st.integers(0, 2), OPINIONS)), OPINIONS)
def test_the_order_of_reading_does_not_matter_and_a_lower_level_never_overrules(own, roles, shared):
    levels = [user_row(**own), *(role(name, rank, **choices) for name, rank, choices in roles), cluster(**shared)]
    answer = resolve_levels(*levels)
    assert answer == resolve_levels(*reversed(levels))
    if own:
        assert answer == resolve_levels(levels[0])
    elif any(choices for _, _, choices in roles):
        assert answer == resolve_levels(*levels[1:-1])


def test_critical_events_bypass_every_level_and_bare_addresses_have_none():
    def answer(priority, person):
        event = NotificationEvent("bill_due", priority, ["email"])
        return preferences(Facts(event, "email", "email", person, now=NOON, wanted_at=NOON))

    person = Person("u:1", UserFactory.build(), shared=[cluster(**OFF)])
    drop = answer(NotificationPriority.LOW, person)
    assert isinstance(drop, Drop)
    assert (drop.reason, describe_rule(drop.rule)) == (Reason.PREFERENCE, "cluster: channel email is off")
    assert answer(NotificationPriority.CRITICAL, person) == Deliver()
    assert answer(NotificationPriority.LOW, Person("a:x", bare_address=Address(email="a@example.com"))) == Deliver()


@pytest.mark.django_db
class TestStored:
    @pytest.fixture
    def nurses(self):
        return Group.objects.create(name="Nurses")

    def shared(self, cluster, user):
        return {row.owner for row in load_people(cluster, [user.pk])[user.pk].shared}

    def test_everyone_gets_the_rows_of_their_own_roles_and_of_the_cluster(self, nurses):
        nurse, other = UserFactory(), UserFactory()
        nurse.groups.add(nurses, Group.objects.create(name="Night"))
        ward, elsewhere = ClusterFactory(members=[nurse, other]), ClusterFactory()
        for place, group in [(ward, nurses), (ward, None), (ward, Group.objects.create(name="Doctors"))]:
            SharedPreference.objects.create(cluster=place, group=group)
        SharedPreference.objects.create(cluster=elsewhere, group=nurses)
        assert self.shared(ward, nurse) == {"role Nurses", "cluster"}
        assert self.shared(ward, other) == {"cluster"}
        assert self.shared(elsewhere, nurse) == {"role Nurses"}
        both = load_people(ward, [nurse.pk, other.pk])
        assert [len(both[user.pk].shared) for user in (nurse, other)] == [2, 1]

    def test_a_thousand_users_with_roles_take_as_many_queries_as_one(self, nurses, django_assert_num_queries):
        users = UserFactory.create_batch(40)
        groups = [nurses, Group.objects.create(name="Night")]
        for group in groups:
            group.user_set.set(users)
        ward = ClusterFactory(members=users)
        for group in [*groups, None]:
            SharedPreference.objects.create(cluster=ward, group=group, **OFF)
        for some in (users[:1], users):
            with django_assert_num_queries(4):
                found = load_people(ward, [user.pk for user in some])
                assert {len(person.shared) for person in found.values()} == {3}
                assert all(row.owner for person in found.values() for row in person.shared)

    def test_there_is_one_row_for_a_role_and_one_for_the_cluster(self, nurses):
        ward = ClusterFactory()
        for group in (nurses, None):
            SharedPreference.objects.create(cluster=ward, group=group)
            with pytest.raises(IntegrityError), transaction.atomic():
                SharedPreference.objects.create(cluster=ward, group=group)

    def test_saving_writes_one_spelling(self):
        row = SharedPreference.objects.create(cluster=ClusterFactory(), channels={" EMAIL": False})
        row.refresh_from_db()
        assert row.channels == {"email": False}

    def test_get_notification_preference_reads_all_levels(self, nurses, django_assert_num_queries):
        row = UserSettingsFactory()
        row.user.groups.add(nurses)
        SharedPreference.objects.create(cluster=row.cluster, **OFF)
        SharedPreference.objects.create(cluster=row.cluster, group=nurses, events={"order_shipped": True})
        with django_assert_num_queries(2):
            assert row.get_notification_preference(ShopEvents.ORDER_SHIPPED, "EMAIL")
            assert not row.get_notification_preference(ShopEvents.NEWSLETTER, "email")
        row.set_notification_preference(ShopEvents.NEWSLETTER, "email", True)
        with django_assert_num_queries(0):
            assert row.get_notification_preference(ShopEvents.NEWSLETTER, "email")

    def test_the_log_names_the_rule_and_the_worker_rechecks_it(self, nurses):
        user, ward = UserFactory(), ClusterFactory()
        ward.members.add(user)
        user.groups.add(nurses)
        with capture_notifications() as captured:
            NotificationManager.send(ShopEvents.NEWSLETTER, user, ward)
        SharedPreference.objects.create(cluster=ward, group=nurses, **OFF)
        assert captured.deliver() == {"dropped": 1}
        assert NotificationLog.objects.get().error_message == "role Nurses: channel email is off"
        assert NotificationManager.send(ShopEvents.NEWSLETTER, user, ward).reasons == {"preference": 1}


@pytest.mark.django_db(transaction=True)
def test_a_change_by_another_process_applies_to_the_next_send():
    user, ward = UserFactory(), ClusterFactory()
    ward.members.add(user)

    def queued():
        return NotificationManager.send(ShopEvents.NEWSLETTER, user, ward).queued

    def elsewhere(statement):
        names = "from notifications.models import *\n"
        finished(start("shell", "--no-imports", "-c", f"{names}{statement}"))

    assert queued() == 1
    elsewhere(f"SharedPreference(cluster_id={ward.pk}, channels={{'email': False}}).save()")
    assert queued() == 0
    elsewhere(f"UserSettings(cluster_id={ward.pk}, user_id={user.pk}, channels={{'email': True}}).save()")
    assert queued() == 1
    elsewhere(f"Mute(cluster_id={ward.pk}, user_id={user.pk}, kind='event', value='shop_newsletter').save()")
    assert queued() == 0
    elsewhere("Mute.objects.get().delete()")
    assert queued() == 1


SENDS_WHEN_ASKED = """
import sys
from notifications.manager import NotificationManager
from django.contrib.auth.models import User
from notifications.models import Cluster
user, ward = User.objects.get(), Cluster.objects.get()
for line in sys.stdin:
    print(NotificationManager.send("shop_newsletter", user, ward).queued, flush=True)
"""


@pytest.mark.django_db(transaction=True)
def test_a_change_in_this_process_applies_to_the_next_send_of_another():
    user, ward = UserFactory(), ClusterFactory()
    ward.members.add(user)
    sender = start("shell", "--no-imports", "-c", SENDS_WHEN_ASKED, stdin=subprocess.PIPE)

    def queued():
        sender.stdin.write("send\n")
        sender.stdin.flush()
        return int(sender.stdout.readline())

    assert queued() == 1
    shared = SharedPreference.objects.create(cluster=ward, **OFF)
    assert queued() == 0
    shared.delete()
    assert queued() == 1
    UserSettings.objects.create(cluster=ward, user=user, **OFF)
    assert queued() == 0
    UserSettings.objects.update(channels={})
    assert queued() == 1
    ward.members.remove(user)
    assert queued() == 0
    finished(sender)
