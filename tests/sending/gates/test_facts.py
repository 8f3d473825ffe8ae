"""Loading the people of a chunk in a constant number of queries."""

import pytest
from django.contrib.auth.models import User

from notifications.exceptions import InvalidCluster
from notifications.manager import NotificationManager
from notifications.models import Cluster, UserSettings
from notifications.recipients import Members
from notifications.sending.gates import load_people
from tests.factories import ClusterFactory, UserFactory, UserSettingsFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("count", [1, 20])
def test_four_queries_load_any_number_of_people(count, django_assert_num_queries):
    users = UserFactory.create_batch(count)
    cluster = ClusterFactory(members=users)
    for user in users:
        UserSettingsFactory(user=user, cluster=cluster)
    with django_assert_num_queries(4):
        found = load_people(cluster, [user.pk for user in users])
        assert all(person.is_member and person.settings and person.user.email for person in found.values())
    assert len(found) == count


def test_reading_preferences_creates_no_row():
    user = UserFactory()
    person = load_people(Cluster.objects.default(), [user.pk])[user.pk]
    assert person.settings is None
    assert not UserSettings.objects.exists()


def test_no_people_take_no_query(django_assert_num_queries):
    with django_assert_num_queries(0):
        assert load_people(None, []) == {}


def test_membership_and_preferences_are_those_of_the_cluster():
    user = UserFactory()
    home, other = ClusterFactory(members=[user]), ClusterFactory()
    UserSettingsFactory(user=user, cluster=other, channels={"email": False})
    assert load_people(home, [user.pk])[user.pk].is_member
    assert load_people(home, [user.pk])[user.pk].settings is None
    assert not load_people(other, [user.pk])[user.pk].is_member
    assert load_people(other, [user.pk])[user.pk].settings.channels == {"email": False}


def test_an_open_cluster_has_every_active_user_as_member():
    active, inactive = UserFactory(), UserFactory(is_active=False)
    found = load_people(Cluster.objects.default(), [active.pk, inactive.pk])
    assert found[active.pk].is_member
    assert not found[inactive.pk].is_member


def test_an_id_without_a_user_is_a_person_without_one():
    person = load_people(Cluster.objects.default(), [999_999])[999_999]
    assert (person.key, person.user) == ("u:999999", None)


def test_people_have_the_order_of_the_ids():
    users = UserFactory.create_batch(3)
    wanted = [users[2].pk, users[0].pk, users[1].pk]
    assert list(load_people(Cluster.objects.default(), wanted)) == wanted


def named_ann(cluster):
    """Return members by a query of the site's own, ordered and with a join."""
    return User.objects.filter(username__startswith="ann").order_by("-username").distinct()


def test_a_custom_members_of_decides(settings):
    settings.NOTIFICATIONS = {"MEMBERS_OF": f"{__name__}.named_ann"}
    ann, bob = UserFactory(username="ann"), UserFactory(username="bob")
    found = load_people(Cluster.objects.default(), [ann.pk, bob.pk])
    assert (found[ann.pk].is_member, found[bob.pk].is_member) == (True, False)


def either_of_two(cluster):
    return named_ann(cluster).union(User.objects.all())


def the_first(cluster):
    return User.objects.all()[:1]


def a_list(cluster):
    return list(User.objects.all())


@pytest.mark.parametrize(
    ("members_of", "word"),
    [("either_of_two", r"the result of union\(\)"), ("the_first", "a slice"), ("a_list", "a list")],
)
def test_members_that_cannot_be_filtered_are_an_error_that_names_the_setting(settings, members_of, word):
    settings.NOTIFICATIONS = {"MEMBERS_OF": f"{__name__}.{members_of}"}
    user, cluster = UserFactory(), Cluster.objects.default()
    words = rf"MEMBERS_OF'\] returned {word} for <Cluster: Default>\. It must return a queryset of users"
    with pytest.raises(InvalidCluster, match=words):
        load_people(cluster, [user.pk])
    for recipients in (user, Members(cluster)):
        with pytest.raises(InvalidCluster, match=words):
            NotificationManager.send(ShopEvents.NEWSLETTER, recipients, cluster)
