"""The subscription page: only own browsers, only real push services."""

import pytest
from django.urls import reverse
from django.utils import timezone

from notifications.models import PushSubscription
from notifications.push.configuration import find_push_configuration
from notifications.push.subscribing import describe_browser
from tests.factories import UserFactory
from tests.push.service import Browser
from tests.push.test_channel import KEY

pytestmark = [pytest.mark.django_db, pytest.mark.needs("pywebpush")]
ENDPOINT = "https://fcm.googleapis.com/fcm/send/abc"
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0"


@pytest.fixture(autouse=True)
def channel(settings):
    options = {"private_key": KEY, "subject": "mailto:admin@example.com"}
    settings.NOTIFICATIONS = {"CHANNELS": {"push": {"OPTIONS": options}}}


@pytest.fixture
def ann():
    return UserFactory(username="ann")


@pytest.fixture
def browser(client, ann):
    client.force_login(ann)
    return client


def url(name, *args):
    return reverse(f"notifications:{name}", args=args)


def values(**changes):
    own = Browser()
    given = {"endpoint": ENDPOINT, "p256dh": own.p256dh, "auth": own.auth}
    return {**given, "server_key": find_push_configuration().public_key, **changes}


def test_a_browser_is_subscribed_and_listed_by_its_name(browser, ann):
    answer = browser.post(url("push-subscribe"), values(), headers={"User-Agent": FIREFOX})
    assert answer.status_code == 200
    assert PushSubscription.objects.of(ann).get().endpoint == ENDPOINT
    assert "Firefox, Windows" in browser.get(url("push")).content.decode()


def test_a_browser_gets_nothing_after_its_user_has_signed_out(browser, ann):
    browser.post(url("push-subscribe"), values())
    other = PushSubscription.objects.store(ann, f"{ENDPOINT}/phone", {}, timezone.now())
    browser.logout()
    assert list(PushSubscription.objects.all()) == [other]


def test_the_same_browser_has_one_subscription(browser, ann):
    for _ in range(2):
        browser.post(url("push-subscribe"), values())
    assert PushSubscription.objects.count() == 1


def test_a_shared_browser_belongs_to_the_user_who_subscribed_it_last(browser, ann, client):
    browser.post(url("push-subscribe"), values())
    bob = UserFactory(username="bob")
    client.force_login(bob)
    client.post(url("push-subscribe"), values())
    assert PushSubscription.objects.get().user == bob


@pytest.mark.parametrize(
    "changes",
    [
        {"endpoint": "https://intranet.example/x"},
        {"endpoint": "http://127.0.0.1/x"},
        {"endpoint": ENDPOINT + "x" * 2000},
        {"p256dh": "AAAA"},
        {"auth": "AAAA"},
        {"auth": "?"},
        {"server_key": "another"},
    ],
    ids=str,
)
def test_what_cannot_be_a_subscription_is_refused(changes, browser):
    answer = browser.post(url("push-subscribe"), values(**changes))
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert not PushSubscription.objects.exists()


def test_a_browser_is_unsubscribed(browser):
    browser.post(url("push-subscribe"), values())
    browser.post(url("push-unsubscribe"), {"endpoint": ENDPOINT})
    assert not PushSubscription.objects.exists()


def test_nobody_changes_a_subscription_of_another_user(browser, client):
    browser.post(url("push-subscribe"), values())
    row = PushSubscription.objects.get()
    client.force_login(UserFactory())
    assert client.post(url("push-remove", row.pk)).status_code == 404
    client.post(url("push-unsubscribe"), {"endpoint": ENDPOINT})
    assert PushSubscription.objects.get() == row


def test_an_own_subscription_is_removed(browser):
    browser.post(url("push-subscribe"), values())
    assert browser.post(url("push-remove", PushSubscription.objects.get().pk)).url == url("push")
    assert not PushSubscription.objects.exists()


def test_the_oldest_browsers_are_forgotten(browser, ann):
    for number in range(22):
        browser.post(url("push-subscribe"), values(endpoint=f"{ENDPOINT}{number}"))
    assert PushSubscription.objects.count() == 20
    assert not PushSubscription.objects.filter(endpoint=f"{ENDPOINT}0").exists()


@pytest.mark.parametrize("name", ["push", "push-subscribe", "push-unsubscribe"])
def test_nothing_is_shown_to_somebody_who_is_not_signed_in(name, client):
    method = client.get if name == "push" else client.post
    assert method(url(name)).status_code == 302


def test_without_the_channel_there_is_no_page(browser, settings):
    settings.NOTIFICATIONS = {}
    assert browser.get(url("push")).status_code == 404


def test_the_service_worker_is_a_script_of_this_site(client):
    answer = client.get(url("push-worker"))
    assert answer.headers["Content-Type"] == "text/javascript"
    assert b"showNotification" in answer.content


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (FIREFOX, "Firefox, Windows"),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36", "Chrome, Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/140.0 Safari/537.36 Edg/140.0", "Edge, Windows"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 15_0) AppleWebKit/605 Version/18.4 Safari/605", "Safari, macOS"),
        ("curl/8", ""),
    ],
)
def test_users_recognise_their_browsers(agent, name):
    assert describe_browser(agent) == name
