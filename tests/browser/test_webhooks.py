"""The pages of webhooks by keyboard, and a double click."""

import pytest

from notifications.models import Cluster, WebhookEndpoint
from notifications.models.webhook_endpoint import reveal_secret
from notifications.webhooks import create_endpoint
from tests.browser.gallery import ENVIRONMENT, HOOK, OPTIONS
from tests.browser.keyboard import tab_to
from tests.factories import UserFactory

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.needs("playwright", "uvicorn", "channels", "pywebpush", "requests_hardened"),
    pytest.mark.needs_program("chromium"),
    pytest.mark.slow,
    pytest.mark.one_database,
]


@pytest.fixture
def site_environment():
    return ENVIRONMENT


@pytest.fixture
def page(visit, settings):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, **OPTIONS}
    Cluster.objects.default()
    return visit(UserFactory(is_superuser=True)).new_page()


def press_enter(page, url):
    page.keyboard.press("Enter")
    page.wait_for_url(url)


def test_an_endpoint_is_added_and_deleted_by_keyboard(page):
    page.goto("/notifications/inbox/")
    tab_to(page, "a[href='/notifications/webhooks/']")
    press_enter(page, "**/webhooks/")
    tab_to(page, "#id_url")
    page.keyboard.type(f"{HOOK}/1")
    page.keyboard.press("Enter")
    secret = page.locator("main code").text_content()
    assert secret.startswith("whsec_")
    tab_to(page, "main a.button")
    press_enter(page, "**/webhooks/ep_*/")
    tab_to(page, "button[value=test]")
    page.keyboard.press("Enter")
    page.locator(".messages").wait_for()
    tab_to(page, "summary")
    page.keyboard.press("Enter")
    tab_to(page, "button[value=delete]")
    press_enter(page, "**/webhooks/")
    assert not WebhookEndpoint.objects.exists()


def test_a_double_click_does_not_hide_the_new_secret(page):
    endpoint = create_endpoint(None, f"{HOOK}/1").endpoint
    for _ in range(3):
        page.goto(f"/notifications/webhooks/{endpoint.uid}/")
        WebhookEndpoint.objects.update(previous_until=None)
        page.locator("button[value=rotate]").evaluate("one => { one.click(); setTimeout(() => one.click(), 10); }")
        page.locator("main code").wait_for()
        endpoint.refresh_from_db()
        assert page.locator("main code").text_content() == reveal_secret(endpoint.secret)
        # After "back", the form can be sent again.
        page.go_back()
        page.locator("button[value=disable]").click()
        page.get_by_text("The endpoint is disabled.").wait_for()
        page.locator("button[value=enable]").click()
        page.get_by_text("The endpoint is enabled.").wait_for()
