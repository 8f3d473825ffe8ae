"""The bell, the notification centre and the preference centre in different hosts, by keyboard alone."""

import os
import subprocess
import sys

import pytest

from notifications.models import InboxItem, UserSettings
from tests.browser.keyboard import tab_to
from tests.factories import UserFactory
from tests.live.site import put, running_site
from tests.processes import until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.needs("playwright", "uvicorn", "channels"),
    pytest.mark.needs_program("chromium"),
    pytest.mark.slow,
    pytest.mark.one_database,
]
INBOX, PREFERENCES = "/notifications/inbox/", "/notifications/preferences/"


@pytest.fixture(params=["asgi", "wsgi"])
def site_kind(request):
    return request.param


def test_everything_is_done_by_keyboard_alone_under_a_strict_policy(visit, reports):
    ann = UserFactory(username="ann")
    put(ann, "Order 7", body="It is late.")
    put(ann, "Order 8")
    page = visit(ann, reduced_motion="reduce").new_page()
    press = page.keyboard.press
    # The bell: open it, and mark an item as read.
    page.goto("/")
    page.wait_for_function("() => document.querySelector('notification-bell')?.total === 2")
    tab_to(page, "button.bell")
    press("Enter")
    tab_to(page, ".tick")
    press("Enter")
    until(lambda: InboxItem.objects.get(title="Order 8").read_at)
    # To the centre: snooze one, and find the other one.
    tab_to(page, "footer a")
    press("Enter")
    page.wait_for_url(f"**{INBOX}")
    press("j")
    press("s")
    press("Enter")
    until(lambda: InboxItem.objects.get(title="Order 8").snoozed_until)
    press("/")
    page.keyboard.type("late")
    page.wait_for_url("**?q=late")
    page.wait_for_function("() => document.querySelectorAll('[data-item]').length === 1")
    press("Escape")
    page.evaluate("document.activeElement.blur()")
    press("j")
    press("o")
    until(lambda: InboxItem.objects.get(title="Order 7").read_at)
    # The preferences: turn something off, and save.
    page.goto(PREFERENCES)
    tab_to(page, "select[name='events.email.order_shipped']", 300)
    page.keyboard.type("Off")
    tab_to(page, "button[value=save]", 300)
    press("Enter")
    page.locator("[role=status]", has_text="saved").wait_for()
    assert UserSettings.objects.get(user=ann).events == {"order_shipped": {"email": False}}
    assert not reports.exists(), reports.read_text()


def test_a_host_with_a_user_model_of_its_own(chromium, tmp_path):
    reports = tmp_path / "reports"
    more = {
        "DJANGO_SETTINGS_MODULE": "tests.live_site.own_user",
        "KLAXON_DATABASE_NAME": str(tmp_path / "own.sqlite3"),
        "KLAXON_TEST_DB": "sqlite",
        "KLAXON_CSP_REPORTS": str(reports),
    }
    command = [sys.executable, "-W", "ignore", "-m", "tests.live_site.prepare"]
    cookie = subprocess.run(command, env={**os.environ, **more}, check=True, capture_output=True, text=True).stdout
    with running_site(**more) as site:
        context = chromium.new_context(base_url=site.url)
        context.add_cookies([{"name": "sessionid", "value": cookie.strip(), "url": site.url}])
        page = context.new_page()
        page.goto("/")
        page.wait_for_function("() => document.querySelector('notification-bell')?.total === 1")
        page.locator("notification-bell button.bell").click()
        page.get_by_role("link", name="See all notifications").click()
        page.locator("[data-item]").click()
        page.locator("h1", has_text="Hello").wait_for()
        page.wait_for_function("() => document.querySelector('notification-bell')?.total === 0")
        page.goto(PREFERENCES)
        page.get_by_role("button", name="Save").first.click()
        page.locator("[role=status]", has_text="saved").wait_for()
        context.close()
    assert not reports.exists(), reports.read_text()
