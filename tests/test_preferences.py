"""A host can keep preferences in its own tables."""

import pytest

from notifications.manager import NotificationManager
from notifications.models import Cluster, Mute, NotificationLog, SharedPreference, UserSettings
from notifications.preferences import DatabasePreferenceSource, UserPreferences
from notifications.sending.gates import load_people
from tests.factories import ClusterFactory, UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db


class FromTheAccount:
    """A source that takes all preferences from a field of the user."""

    def load(self, cluster, user_ids):
        users = UserFactory._meta.model.objects.filter(pk__in=user_ids, first_name="quiet")
        return {user.pk: UserPreferences(UserSettings(channels={"email": False}, language="de")) for user in users}


class OwnSettingsOnly(DatabasePreferenceSource):
    """A source with the user's settings from the host, and roles and mutes from Klaxon."""

    def settings_of(self, cluster, user_ids):
        return {pk: UserSettings(channels={"email": True}) for pk in user_ids}


@pytest.fixture
def set_preferences_source(settings):
    def set_preferences_source(adapter):
        settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "PREFERENCES": f"{__name__}.{adapter.__name__}"}

    return set_preferences_source


def test_the_preferences_of_the_host_decide_and_klaxons_tables_are_not_read(
    set_preferences_source, django_assert_num_queries
):
    set_preferences_source(FromTheAccount)
    quiet, other = UserFactory(first_name="quiet"), UserFactory()
    SharedPreference.objects.create(cluster=Cluster.objects.default(), channels={"email": False})
    result = NotificationManager.send(ShopEvents.NEWSLETTER, [quiet, other], None)
    assert (result.queued, result.reasons) == (1, {"preference": 1})
    assert NotificationLog.objects.get().error_message == "user: channel email is off"
    cluster = Cluster.objects.default()
    with django_assert_num_queries(2):
        assert load_people(cluster, [quiet.pk])[quiet.pk].settings.language == "de"


def test_a_subclass_can_override_one_method(set_preferences_source):
    set_preferences_source(OwnSettingsOnly)
    user, cluster = UserFactory(), ClusterFactory()
    cluster.members.add(user)
    SharedPreference.objects.create(cluster=cluster, channels={"email": False})
    assert NotificationManager.send(ShopEvents.NEWSLETTER, user, cluster).queued == 1
    Mute.objects.create(user=user, cluster=cluster, kind="event", value="shop_newsletter")
    assert NotificationManager.send(ShopEvents.NEWSLETTER, user, cluster).reasons == {"muted": 1}
