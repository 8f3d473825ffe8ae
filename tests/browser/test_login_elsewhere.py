"""A login in another tab changes the CSRF token, and older pages continue with the new one."""

import json

import pytest

from notifications.models import InboxItem, PushSubscription
from tests.browser.gallery import ENVIRONMENT
from tests.factories import UserFactory
from tests.live.site import put
from tests.processes import until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.needs("playwright", "uvicorn", "channels", "pywebpush"),
    pytest.mark.needs_program("chromium"),
    pytest.mark.slow,
    pytest.mark.one_database,
]
WORD = "a placeholder"
SUBSCRIBE = """async () => {
  Notification.requestPermission = async () => 'granted';
  const { publicKey } = await crypto.subtle.generateKey({ name: 'ECDH', namedCurve: 'P-256' }, true, ['deriveBits']);
  const keys = { p256dh: await crypto.subtle.exportKey('raw', publicKey), auth: new ArrayBuffer(16) };
  const endpoint = 'https://fcm.googleapis.com/fcm/send/1';
  PushManager.prototype.subscribe = async () => ({ endpoint, getKey: (name) => keys[name] });
}"""
# Settings with which scripts cannot read the token.
HIDDEN = [{"CSRF_USE_SESSIONS": True}, {"CSRF_COOKIE_HTTPONLY": True, "CSRF_HEADER_NAME": "HTTP_X_OTHER_TOKEN"}]


@pytest.fixture(params=[{}])
def site_environment(request):
    return {**ENVIRONMENT, "KLAXON_SETTINGS": json.dumps(request.param)}


@pytest.fixture
def ann():
    user = UserFactory(username="ann")
    user.set_password(WORD)
    user.save()
    return user


@pytest.fixture
def refusals():
    """The addresses that have answered 403."""
    return []


@pytest.fixture
def open_page(visit, ann, refusals):
    """Open a page, and sign in again in another tab."""

    def open_page(path, is_ready):
        context = visit(ann)
        context.grant_permissions(["notifications"])
        page = context.new_page()
        page.goto(path)
        page.wait_for_function(is_ready)
        # Another session ends the stream of this one, and the bell would come back only after five seconds.
        context.route("**/stream*", lambda route: route.abort())
        other = context.new_page()
        other.goto("/login/")
        other.fill("[name=username]", "ann")
        other.fill("[name=password]", WORD)
        other.locator("#login button").click()
        other.wait_for_url("**/")
        other.close()
        context.on("response", lambda response: refusals.append(response.url) if response.status == 403 else None)
        return page

    return open_page


@pytest.mark.parametrize(
    ("site_environment", "has_hidden_token"),
    [({}, False), *((one, True) for one in HIDDEN)],
    indirect=["site_environment"],
)
def test_an_action_in_the_bell_works(has_hidden_token, open_page, ann, refusals):
    put(ann, "One", "Two")
    page = open_page("/", "() => document.querySelector('notification-bell')?.total === 2")
    page.locator("notification-bell button.bell").evaluate("one => one.click()")
    page.locator("notification-bell .tick").first.click()
    until(lambda: InboxItem.objects.exclude(read_at=None).exists())
    assert page.locator("notification-bell .toast").count() == 0
    assert bool(refusals) == has_hidden_token


def test_a_change_in_the_centre_works(open_page, ann, refusals):
    put(ann, "One")
    page = open_page("/notifications/inbox/", "() => document.querySelector('notification-bell')?.total === 1")
    page.evaluate("window.marker = 1")
    page.keyboard.press("j")
    page.keyboard.press("e")
    page.locator("#inbox .empty").wait_for()
    assert InboxItem.objects.get().archived_at
    assert page.evaluate("window.marker") == 1, "nothing was reloaded"


def test_a_browser_is_subscribed(open_page, ann):
    page = open_page("/notifications/push/", "() => document.querySelector('[data-push]').dataset.current === 'off'")
    page.evaluate(SUBSCRIBE)
    page.locator("[data-toggle]").click()
    page.locator("[data-push][data-current=on]").wait_for()
    assert PushSubscription.objects.get().user == ann
