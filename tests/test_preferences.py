"""A host may keep preferences in tables of its own."""

import pytest

from notifications.manager import NotificationManager
from notifications.models import Cluster, Mute, NotificationLog, SharedPreference, UserSettings
from notifications.preferences import DatabasePreferenceSource, UserPreferences
from notifications.sending.gates import load_people
from tests.factories import ClusterFactory, UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db


class FromTheAccount:
    """Everything from the host: here a word in the user's own row."""

    def load(self, cluster, user_ids):
        users = UserFactory._meta.model.objects.filter(pk__in=user_ids, first_name="quiet")
        return {user.pk: UserPreferences(UserSettings(channels={"email": False}, language="de")) for user in users}


class OwnSettingsOnly(DatabasePreferenceSource):
    """The user's own from the host, roles and mutes from Klaxon."""

    def settings_of(self, cluster, user_ids):
        return {pk: UserSettings(channels={"email": True}) for pk in user_ids}


@pytest.fixture
def taken_from(settings):
    def taken_from(adapter):
        settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "PREFERENCES": f"{__name__}.{adapter.__name__}"}

    return taken_from


def test_the_hosts_own_answers_decide_and_klaxons_tables_are_not_asked(taken_from, django_assert_num_queries):
    taken_from(FromTheAccount)
    quiet, other = UserFactory(first_name="quiet"), UserFactory()
    SharedPreference.objects.create(cluster=Cluster.objects.default(), channels={"email": False})
    result = NotificationManager.send(ShopEvents.NEWSLETTER, [quiet, other], None)
    assert (result.queued, result.reasons) == (1, {"preference": 1})
    assert NotificationLog.objects.get().error_message == "user: channel email is off"
    cluster = Cluster.objects.default()
    with django_assert_num_queries(2):
        assert load_people(cluster, [quiet.pk])[quiet.pk].settings.language == "de"


def test_a_part_of_klaxons_own_may_be_kept(taken_from):
    taken_from(OwnSettingsOnly)
    user, cluster = UserFactory(), ClusterFactory()
    cluster.members.add(user)
    SharedPreference.objects.create(cluster=cluster, channels={"email": False})
    assert NotificationManager.send(ShopEvents.NEWSLETTER, user, cluster).queued == 1
    Mute.objects.create(user=user, cluster=cluster, kind="event", value="shop_newsletter")
    assert NotificationManager.send(ShopEvents.NEWSLETTER, user, cluster).reasons == {"muted": 1}
