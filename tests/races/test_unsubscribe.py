"""Many clicks on the links of one user at the same time: each is answered and none is lost."""

import pytest
from django.test import Client

from notifications.models import Cluster, PreferenceChange, UserSettings
from notifications.unsubscribe.links import LinkTarget, make_token
from tests.factories import UserFactory
from tests.races.test_buckets import in_threads

pytestmark = pytest.mark.django_db(transaction=True)

EVENTS = ["order_shipped", "shop_newsletter", "order_refused", "message"]


def test_many_clicks_on_several_links_of_a_new_user_are_all_stored():
    user, cluster = UserFactory(), Cluster.objects.default()
    tokens = [make_token(LinkTarget(str(user.pk), str(cluster.pk), 1, name, "email")) for name in EVENTS]

    def click(number):
        path = f"/notifications/unsubscribe/{tokens[number % len(tokens)]}/"
        return Client().post(path, {"List-Unsubscribe": "One-Click"}).status_code

    assert in_threads(click, 16) == [200] * 16
    assert UserSettings.objects.get().events == {name: {"email": False} for name in EVENTS}
    assert PreferenceChange.objects.count() == len(EVENTS)
