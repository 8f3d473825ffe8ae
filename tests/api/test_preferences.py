"""Preferences, channels and topics over the API."""

import re

import pytest
from django.core import mail

from notifications.delivering.dispatcher import Dispatcher
from notifications.models import AddressConfirmation, Pause, PreferenceChange, TopicSubscription, UserSettings
from tests.api.conftest import Api, problem

pytestmark = pytest.mark.needs("ninja")
TOPICS = [("road works", "Road works"), "billing"]


def offer_topics(cluster, user):
    return TOPICS


def test_without_choices_there_are_defaults_and_no_row(api, cluster):
    found = api.get("preferences").json()
    assert (found["cluster"], found["channels"], found["digest"]) == (str(cluster.pk), {}, "none")
    assert found["is_editable"] is True
    assert not UserSettings.objects.exists()


def test_put_replaces_everything_and_patch_only_what_it_names(api, ann):
    whole = {"channels": {"email": False}, "quiet_from": "22:00", "quiet_until": "07:00", "language": "en"}
    found = api.put("preferences", whole).json()
    assert (found["channels"], found["quiet_from"], found["language"]) == ({"email": False}, "22:00", "en")
    found = api.patch("preferences", {"digest": "daily", "digest_hour": 9}).json()
    assert (found["channels"], found["digest"], found["digest_hour"]) == ({"email": False}, "daily", 9)
    found = api.put("preferences", {"events": {"order_shipped": {"email": False}}}).json()
    assert (found["channels"], found["quiet_from"], found["digest"]) == ({}, None, "none")
    assert found["events"] == {"order_shipped": {"email": False}}
    assert {change.by_id for change in PreferenceChange.objects.all()} == {ann.pk}


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"channels": {"fax": False}}, "body.channels"),
        ({"channels": {"email": "no"}}, "body.channels.email"),
        ({"events": {"nonsense": False}}, "body.events"),
        ({"time_zone": "Mars/Olympus"}, "body.time_zone"),
        ({"language": "xx"}, "body.language"),
        ({"quiet_from": "22:00"}, "body"),
        ({"quiet_from": "25:00"}, "body.quiet_from"),
        ({"quiet_from": "22:00+02:00"}, "body.quiet_from"),
        ({"digest": "hourly"}, "body.digest"),
        ({"digest_hour": 24}, "body.digest_hour"),
        ({"delivery_windows": {"email": [["08:00"]]}}, "body.delivery_windows.email.0"),
        ({"delivery_windows": {"email": [["08:00", "nonsense"]]}}, "body.delivery_windows"),
        ({"addresses": {"email": "thief@example.com"}}, "body.addresses"),
    ],
)
def test_what_the_site_does_not_know_is_refused(api, change, where):
    for call in (api.put, api.patch):
        answer = call("preferences", change)
        assert problem(answer) == (422, "invalid")
        assert answer.json()["errors"][0]["location"] == where
    assert not UserSettings.objects.exists()


def test_a_channel_is_turned_off_and_forgotten(api):
    assert api.put("preferences/channels/email", {"is_on": False}).json()["channels"] == {"email": False}
    assert api.delete("preferences/channels/email").json()["channels"] == {}
    assert problem(api.put("preferences/channels/fax", {"is_on": False})) == (404, "not-found")


def test_a_new_address_is_used_after_its_confirmation(api, ann):
    answer = api.put("preferences/addresses/email", {"address": "new@example.com"})
    assert (answer.status_code, answer.json()["is_confirmation_sent"]) == (202, True)
    assert api.get("preferences").json()["addresses"] == {}
    Dispatcher().run_until_idle()
    [message] = mail.outbox
    assert message.to == ["new@example.com"]
    path = re.search(r"https://shop\.example\.com(/\S+)", message.body)[1]
    assert api.client.post(path).status_code == 200
    assert api.get("preferences").json()["addresses"] == {"email": "new@example.com"}
    assert api.delete("preferences/addresses/email").json()["addresses"] == {}


def test_a_key_that_changes_preferences_cannot_redirect_messages(ann, issue):
    limited = Api(token=issue(ann, "preferences:write"))
    for answer in (
        limited.put("preferences/addresses/email", {"address": "mine@example.com"}),
        limited.delete("preferences/addresses/email"),
    ):
        assert problem(answer) == (403, "missing-scope")
        assert answer.json()["scope"] == "addresses:write"
    assert not AddressConfirmation.objects.exists()
    allowed = Api(token=issue(ann, "addresses:write"))
    assert allowed.put("preferences/addresses/email", {"address": "new@example.com"}).status_code == 202


def test_an_unusable_address_is_refused(api):
    assert problem(api.put("preferences/addresses/email", {"address": "nonsense"})) == (422, "invalid")
    assert problem(api.put("preferences/addresses/app", {"address": "a@example.com"})) == (404, "not-found")
    assert not AddressConfirmation.objects.exists()


def test_preferences_of_another_cluster_are_not_found(api, ann, issue, foreign, cluster):
    for call in (
        lambda: api.get(f"preferences?cluster={foreign.pk}"),
        lambda: api.patch(f"preferences?cluster={foreign.pk}", {"digest": "daily"}),
        lambda: Api(token=issue(ann, clusters=[foreign])).get("preferences"),
        lambda: Api(token=issue(ann, clusters=[foreign])).get(f"preferences?cluster={cluster.pk}"),
    ):
        assert problem(call()) == (404, "not-found")


def test_the_preferences_of_each_cluster_are_separate(api, ann, foreign):
    foreign.members.add(ann)
    api.put(f"preferences?cluster={foreign.pk}", {"digest": "daily"})
    assert api.get("preferences").json()["digest"] == "none"
    assert api.get(f"preferences?cluster={foreign.pk}").json()["digest"] == "daily"


def test_a_site_with_its_own_preferences_keeps_them(api, settings):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "PREFERENCES": "tests.api.test_preferences.OwnSource"}
    assert api.get("preferences").json()["is_editable"] is False
    assert problem(api.put("preferences", {})) == (409, "conflict")


class OwnSource:
    def load(self, cluster, user_ids):
        return {}


def test_channels_are_listed(api):
    Pause.objects.create(channel="email", since="2030-01-01T00:00Z")
    found = {one["name"]: one for one in api.get("channels").json()["items"]}
    assert found["email"] == {"name": "email", "label": "Email", "address_kind": "email", "is_paused": True}
    assert (found["log"]["address_kind"], found["app"]["address_kind"]) == ("", "user")


def test_topics_are_followed_and_left(api, ann, settings):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "TOPICS_OF": "tests.api.test_preferences.offer_topics"}
    assert [row["is_followed"] for row in api.get("topics").json()["items"]] == [False, False]
    followed = [api.post("topics/subscribe", {"topic": "Road Works"}).json() for _ in range(2)]
    assert followed[0]["items"][1] == {"key": "road works", "label": "Road works", "is_followed": True}
    assert TopicSubscription.objects.get().user == ann
    assert problem(api.post("topics/subscribe", {"topic": "secret"})) == (404, "not-found")
    api.post("topics/unsubscribe", {"topic": "road works"})
    assert problem(api.post("topics/unsubscribe", {"topic": "road works"})) == (404, "not-found")
