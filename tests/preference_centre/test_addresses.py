"""Addresses: a new one is used only after its owner has confirmed it."""

import re
from datetime import timedelta
from urllib.parse import urlsplit

import pytest

from notifications.core import clock
from notifications.core.tokens import make_token
from notifications.models import AddressConfirmation, Notification, PreferenceChange, UserSettings
from notifications.preference_centre.addresses import MAX_REQUESTS_PER_HOUR, PURPOSE, delete_expired
from notifications.testing import travelling
from tests.factories import ClusterFactory, UserFactory
from tests.preference_centre.conftest import PREFERENCES, find_settings, make_path, send, work

pytestmark = pytest.mark.django_db

NEW = "new@example.com"


def put(browser, do="request", address=NEW, channel="email"):
    return browser.post(PREFERENCES, {"section": "addresses", "do": do, "channel": channel, "address": address})


def find_confirmation(message):
    return urlsplit(re.search(r"https://shop\.example\.com\S+/address/\S+", message.body)[0]).path


def test_a_new_address_gets_a_link_and_is_not_used_yet(browser, ann):
    assert put(browser).status_code == 302
    message = work()
    assert message.to == [NEW]
    assert find_confirmation(message)
    assert ann.email not in message.body
    assert not UserSettings.objects.exists()
    assert send(ann).to == [ann.email]
    page = browser.get(PREFERENCES).content.decode()
    assert "new@example.com waits for its confirmation." in page


def test_opening_the_link_changes_nothing_and_its_button_confirms(browser, anonymous, ann):
    put(browser)
    path = find_confirmation(work())
    response = anonymous.get(path)
    assert "n***@example.com" in response.content.decode()
    assert NEW not in response.content.decode()
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert not UserSettings.objects.exists()
    assert "The address is confirmed" in anonymous.post(path).content.decode()
    assert find_settings(ann).addresses == {"email": NEW}
    assert PreferenceChange.objects.get().after == {"addresses": {"email": "n***@example.com"}}
    assert send(ann).to == [NEW]


def test_a_link_works_once(browser, anonymous, ann):
    put(browser)
    path = find_confirmation(work())
    anonymous.post(path)
    put(browser, do="remove")
    assert anonymous.post(path).status_code == 404
    assert find_settings(ann).addresses == {}


def test_a_newer_request_replaces_the_older_one(browser, anonymous):
    put(browser)
    first = find_confirmation(work())
    put(browser, address="newer@example.com")
    assert anonymous.get(first).status_code == 404
    assert anonymous.get(find_confirmation(work())).status_code == 200


def test_a_request_can_be_withdrawn(browser, anonymous):
    put(browser)
    path = find_confirmation(work())
    put(browser, do="withdraw")
    assert anonymous.post(path).status_code == 404
    assert "waits for its confirmation" not in browser.get(PREFERENCES).content.decode()


def test_a_link_expires_after_a_day(browser, anonymous):
    put(browser)
    path = find_confirmation(work())
    tomorrow = clock.now() + timedelta(days=1, seconds=1)
    with travelling(tomorrow):
        assert anonymous.post(path).status_code == 404
        delete_expired(clock.now(), lambda: False)
    assert not AddressConfirmation.objects.exists()


@pytest.mark.parametrize("token", ["", "x", "AAAA", make_token("another purpose", 1)])
def test_another_token_is_not_accepted(token, browser, anonymous):
    put(browser)
    assert anonymous.post(f"/notifications/preferences/address/{token}/").status_code == 404


def test_the_token_of_a_deleted_request_is_not_accepted(anonymous):
    assert anonymous.get(make_path("confirm-address", make_token(PURPOSE, 2**63 - 1))).status_code == 404


def test_a_user_who_has_left_cannot_confirm(browser, anonymous, ann):
    put(browser)
    path = find_confirmation(work())
    type(ann).objects.filter(pk=ann.pk).update(is_active=False)
    assert anonymous.post(path).status_code == 404


@pytest.mark.parametrize(
    ("address", "channel", "words"),
    [
        ("nobody", "email", "is not a usable address"),
        ("", "email", "Enter an address"),
        (f"{'a' * 500}@example.com", "email", "at most 500 characters"),
        (NEW, "app", "cannot be changed here"),
        (NEW, "fax", "cannot be changed here"),
        (NEW, "log", "cannot be changed here"),
    ],
)
def test_unusable_addresses_are_refused(address, channel, words, browser):
    response = put(browser, address=address, channel=channel)
    assert response.status_code == 200
    assert words in response.content.decode()
    assert not AddressConfirmation.objects.exists()


def test_a_user_cannot_send_links_to_many_addresses(browser, ann):
    for number in range(MAX_REQUESTS_PER_HOUR):
        assert put(browser, address=f"new{number}@example.com").status_code == 302
    assert "Try again in an hour" in put(browser).content.decode()
    with travelling(clock.now() + timedelta(minutes=61)):
        assert put(browser).status_code == 302


def test_without_an_own_address_that_of_the_account_is_used(browser, ann, cluster):
    UserSettings(user=ann, cluster=cluster, addresses={"email": NEW}).save()
    assert "Use that of the account" in browser.get(PREFERENCES).content.decode()
    put(browser, do="remove")
    assert send(ann).to == [ann.email]
    assert "from your account" in browser.get(PREFERENCES).content.decode()


def test_an_address_is_confirmed_for_its_cluster_only(browser, anonymous, ann, cluster):
    other = ClusterFactory(name="Zoo", members=[ann])
    put(browser)
    anonymous.post(find_confirmation(work()))
    assert not UserSettings.objects.filter(cluster=other).exists()


class TestTest:
    def put(self, browser, channel="email", path=PREFERENCES):
        return browser.post(path, {"section": "test", "channel": channel})

    def test_it_arrives_at_the_address_of_the_user_although_everything_is_off(self, browser, ann, cluster):
        UserSettings(user=ann, cluster=cluster, channels={"email": False}).save()
        assert self.put(browser).url.endswith("?saved=test#addresses")
        message = work()
        assert (message.to, message.subject) == ([ann.email], "Test message")

    def test_it_arrives_in_the_app(self, browser, ann):
        self.put(browser, "app")
        work()
        assert ann.inbox_items.get().title == "Test message"

    def test_it_says_why_it_cannot_be_sent(self, browser, ann):
        type(ann).objects.filter(pk=ann.pk).update(email="")
        assert "No address for this channel" in self.put(browser).content.decode()

    def test_a_link_can_test_its_own_channel_only(self, anonymous, ann, link):
        assert self.put(anonymous, path=link).status_code == 302
        assert work().to == [ann.email]
        assert "No test message can be sent" in self.put(anonymous, "app", link).content.decode()

    def test_a_user_can_ask_five_times_an_hour(self, browser, anonymous, link):
        for _ in range(5):
            assert self.put(anonymous, path=link).status_code == 302
        for page in (self.put(anonymous, path=link), self.put(browser)):
            assert "You have asked for too many test messages." in page.content.decode()
        Notification.objects.update(created_at=clock.now() - timedelta(hours=1))
        assert self.put(browser).status_code == 302

    @pytest.mark.parametrize("channel", ["", "fax", "log"])
    def test_it_needs_a_channel_that_reaches_people(self, channel, browser):
        assert "No test message can be sent" in self.put(browser, channel).content.decode()


def test_nobody_gets_the_pending_addresses_of_others(browser, client):
    put(browser)
    client.force_login(UserFactory(username="bob"))
    assert NEW not in client.get(PREFERENCES).content.decode()
