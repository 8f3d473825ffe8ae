"""The bell in a page of a host, in Chromium, under the policy ``default-src 'self'``."""

import re
import time
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.db import transaction
from django.utils import timezone

from notifications.models import Cluster, InboxFeed, InboxItem, LiveMessage
from tests.factories import UserFactory
from tests.live.site import put
from tests.processes import until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.needs("playwright", "uvicorn", "channels"),
    pytest.mark.needs_program("chromium"),
    pytest.mark.slow,
]


# The times, in milliseconds, of the last click in a page and of each number that the badge has shown.
WATCH = """() => {
  window.changedTo = {};
  addEventListener('click', () => { window.clickedAt = Date.now(); }, true);
  addEventListener('notification-count', ({ detail }) => { changedTo[detail.total] ??= Date.now(); });
}"""


@pytest.fixture
def ann():
    return UserFactory(username="ann")


def bell(page):
    return page.locator("notification-bell button.bell")


def badge(page):
    return page.locator("notification-bell .badge")


def wait_until_loaded(page):
    """Wait until the bell has the counts. What arrives later is new."""
    page.wait_for_function("() => document.querySelector('notification-bell')?.total !== undefined")


def wait_for_badge(page, text):
    """Wait until the badge has this text; empty if it is hidden."""
    if text:
        page.wait_for_function(
            "text => document.querySelector('notification-bell').badge.textContent === text",
            arg=text,
        )
    badge(page).wait_for(state="visible" if text else "hidden")


@pytest.fixture
def open_page(visit, ann):
    def open_page(path="/", **options):
        page = visit(ann, **options).new_page()
        page.goto(path)
        wait_until_loaded(page)
        return page

    return open_page


def test_a_new_notification_appears_in_badge_list_and_toast(open_page, ann):
    page = open_page()
    put(ann, "Order 7 is on its way", body="It arrives on Monday.")
    wait_for_badge(page, "1")
    toast = page.locator("notification-bell .toast")
    toast.wait_for()
    assert "Order 7 is on its way" in toast.inner_text()
    bell(page).click()
    assert "It arrives on Monday." in page.locator("notification-bell .list li").inner_text()
    assert bell(page).get_attribute("aria-expanded") == "true"


def test_opening_an_item_makes_it_read_and_leads_to_its_page(open_page, ann):
    put(ann, "Order 7", url="/?order=7")
    page = open_page()
    bell(page).click()
    page.locator("notification-bell .list a").click()
    page.wait_for_url("**/?order=7")
    until(lambda: InboxItem.objects.get().read_at)


def test_opening_the_list_makes_items_seen_and_not_read(open_page, ann):
    put(ann, "Order 7")
    page = open_page()
    wait_for_badge(page, "1")
    bell(page).click()
    until(lambda: InboxItem.objects.get().seen_at)
    assert InboxItem.objects.get().read_at is None


def test_it_is_used_by_keyboard_alone(open_page, ann):
    put(ann, "Order 7")
    page = open_page()
    wait_for_badge(page, "1")
    bell(page).focus()
    page.keyboard.press("Enter")
    page.locator("notification-bell .panel").wait_for()
    for _ in range(3):
        page.keyboard.press("Tab")
    assert focused(page) == "Mark as read"
    page.keyboard.press("Enter")
    wait_for_badge(page, "")
    assert focused(page) == "Order 7", "the focus stays in the row"
    page.keyboard.press("Escape")
    assert focused(page) == "Notifications"
    assert page.locator("notification-bell .panel").is_hidden()


def focused(page):
    """The name of the element that has the focus."""
    script = """() => {
      const one = document.activeElement.shadowRoot?.activeElement ?? document.activeElement;
      return one.getAttribute('aria-label') ?? one.querySelector('.title')?.textContent ?? one.textContent;
    }"""
    return page.evaluate(script)


def test_the_focus_is_never_stolen(open_page, ann):
    page = open_page()
    page.locator("input[name=q]").fill("lamp")
    put(ann, "Order 7")
    page.locator("notification-bell .toast").wait_for()
    assert page.evaluate("document.activeElement.name") == "q"
    status = page.locator("notification-bell [role=status]")
    assert status.get_attribute("aria-live") == "polite"
    assert status.text_content() == "Order 7"


def test_all_are_marked_as_read(open_page, ann):
    put(ann, "One", "Two")
    page = open_page()
    bell(page).click()
    page.get_by_role("button", name="Mark all as read").click()
    wait_for_badge(page, "")
    until(lambda: not InboxItem.objects.unread().exists())


def test_five_tabs_share_one_stream_and_one_badge(visit, ann, site):
    put(ann, "One", "Two")
    context = visit(ann)
    streams = []
    context.on("request", lambda request: streams.append(request.url) if "/inbox/stream" in request.url else None)
    tabs = [context.new_page() for _ in range(5)]
    for tab in tabs:
        tab.goto("/")
        wait_for_badge(tab, "2")
    put(ann, "Three")
    for tab in tabs:
        wait_for_badge(tab, "3")
    assert len(streams) == 1
    for tab in tabs:
        tab.evaluate(WATCH)
    bell(tabs[2]).click()
    tabs[2].locator("notification-bell .list li").first.get_by_role("button").click()
    for tab in tabs:
        wait_for_badge(tab, "2")
    clicked = tabs[2].evaluate("clickedAt")
    assert max(tab.evaluate("changedTo[2]") for tab in tabs) - clicked < 1000
    # The tab with the stream closes, and another one continues.
    tabs[0].close()
    put(ann, "Four")
    for tab in tabs[1:]:
        wait_for_badge(tab, "3")
    tabs[1].evaluate("onclick = () => sessionStorage.setItem('at', Date.now())")
    for tab in tabs[2:]:
        tab.evaluate(
            "new MutationObserver(() => { window.hiddenAt ??= Date.now(); }).observe("
            "document.querySelector('notification-bell'), { attributes: true })"
        )
    tabs[1].get_by_role("button", name="Sign out").click()
    for tab in tabs[2:]:
        tab.locator("notification-bell").wait_for(state="hidden")
    clicked = int(tabs[1].evaluate("sessionStorage.getItem('at')"))
    assert max(tab.evaluate("hiddenAt") for tab in tabs[2:]) - clicked < 2000


def test_a_restart_of_the_server_loses_nothing(open_page, ann, site):
    page = open_page()
    put(ann, "One")
    wait_for_badge(page, "1")
    site.kill()
    put(ann, "Two")
    site.start()
    wait_for_badge(page, "2")


def test_the_websocket_is_used_where_the_stream_fails(visit, ann, site):
    context = visit(ann)
    context.route("**/notifications/inbox/stream*", lambda route: route.fulfill(status=501))
    page = context.new_page()
    with page.expect_websocket(timeout=30_000):
        page.goto("/?socket=1")
    put(ann, "Shipped")
    wait_for_badge(page, "1")


class TestUnderWSGI:
    @pytest.fixture
    def site_kind(self):
        return "wsgi"

    def test_it_asks_from_time_to_time(self, visit, ann):
        context = visit(ann)
        context.clock.install()
        page = context.new_page()
        page.goto("/")
        wait_until_loaded(page)
        put(ann, "Shipped")
        # Half a minute passes as often as necessary: the first time can be before the page begins to wait.
        for _ in range(10):
            page.clock.fast_forward(31_000)
            page.wait_for_timeout(300)
        wait_for_badge(page, "1")


def test_there_is_no_report_of_a_violated_policy(open_page, ann, reports):
    put(ann, "Order 7", icon="📦")
    page = open_page()
    wait_for_badge(page, "1")
    bell(page).click()
    put(ann, "Order 8")
    page.locator("notification-bell .list li").nth(1).wait_for()
    time.sleep(0.5)
    assert not reports.exists(), reports.read_text()


def test_a_policy_report_would_be_noticed(open_page, ann, reports):
    page = open_page()
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: '1'}))")
    until(reports.exists)


def test_without_javascript_there_is_a_link(visit, ann):
    page = visit(ann, java_script_enabled=False).new_page()
    page.goto("/")
    page.get_by_role("link", name="Notifications").click()
    assert re.search(r"/notifications/inbox/$", page.url)


@pytest.mark.parametrize("address", [None, "/host.css", "https://example.com/static/notifications/live.js"])
def test_without_the_rest_of_its_script_it_stays_a_link(address, visit, ann):
    page = visit(ann).new_page()
    errors, requests = [], []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.context.route("**/live.js", lambda route: route.abort())
    if address:
        page.route("/", lambda route: route.fulfill(body=name_module(route.fetch().text(), address), status=200))
    page.goto("/")
    page.get_by_role("link", name="Notifications").wait_for()
    until(lambda: page.evaluate("1") and errors)
    assert not any("example.com" in url for url in requests)


def name_module(text, address):
    """Return a page whose bell names another module than the site's."""
    return re.sub(r'data-live="[^"]+"', f'data-live="{address}"', text)


def test_toasts_do_not_move_for_users_who_prefer_that(open_page, ann):
    page = open_page(reduced_motion="reduce")
    put(ann, "Order 7")
    toast = page.locator("notification-bell .toast")
    toast.wait_for()
    assert toast.evaluate("one => getComputedStyle(one).animationName") == "none"


def test_markup_in_a_notification_is_text(open_page, ann):
    put(ann, "<img src=x onerror=alert(1)>", body="<b>bold</b>", url="/ok/")
    page = open_page()
    bell(page).click()
    assert page.locator("notification-bell .list img").count() == 0
    assert "<b>bold</b>" in page.locator("notification-bell .list").inner_text()


def test_a_live_message_is_a_toast_and_not_in_the_list(open_page, ann):
    page = open_page()
    message = LiveMessage(user=ann, expires_at=timezone.now() + timedelta(minutes=1))
    message.content = {"title": "The import has finished", "text": "40 rows", "url": ""}
    with transaction.atomic():
        LiveMessage.objects.add_messages([message])
    toast = page.locator("notification-bell .toast")
    toast.wait_for()
    assert "The import has finished" in toast.inner_text()
    bell(page).click()
    assert page.locator("notification-bell .list li").count() == 0


COUNT_SOUNDS = (
    "window.played = 0; HTMLMediaElement.prototype.play = () => { window.played += 1; return Promise.resolve(); };"
)


def test_two_bells_of_a_page_announce_a_notification_once(visit, ann):
    context = visit(ann, viewport={"width": 1280, "height": 800})
    context.add_init_script(COUNT_SOUNDS)
    page = context.new_page()
    page.goto("/?bells=1&sound=1")
    page.wait_for_function(
        "() => [...document.querySelectorAll('notification-bell')].every((bell) => bell.total !== undefined)"
    )
    for number, width in ((1, 1280), (2, 360)):
        page.set_viewport_size({"width": width, "height": 800})
        put(ann, f"Order {number}")
        page.wait_for_function(
            "number => [...document.querySelectorAll('notification-bell')].every((bell) => bell.total === number)",
            arg=number,
        )
        page.locator("notification-bell .toast:visible", has_text=f"Order {number}").wait_for()
        said = page.locator("notification-bell .spoken[role=status]").all_text_contents()
        assert said.count(f"Order {number}") == 1
        assert page.locator("notification-bell .toast").count() == number
        assert page.evaluate("played") == number
    bell(page).locator("visible=true").click()
    assert page.locator("notification-bell .toast").count() == 0, "one list shows what the toasts of both have shown"
    message = LiveMessage(user=ann, expires_at=timezone.now() + timedelta(minutes=1))
    message.content = {"title": "The import has finished", "text": "40 rows", "url": ""}
    with transaction.atomic():
        LiveMessage.objects.add_messages([message])
    page.locator("notification-bell .toast", has_text="40 rows").wait_for()
    page.wait_for_timeout(300)
    assert page.locator("notification-bell .toast").count() == 1


def test_a_sound_is_played_once_in_a_browser(visit, ann):
    context = visit(ann)
    context.add_init_script(COUNT_SOUNDS)
    tabs = [context.new_page() for _ in range(2)]
    for tab in tabs:
        tab.goto("/?sound=1")
        wait_until_loaded(tab)
    put(ann, "Order 7")
    for tab in tabs:
        wait_for_badge(tab, "1")
    assert sum(tab.evaluate("played") for tab in tabs) == 1


def test_the_bells_of_other_tabs_come_back_after_a_new_password(visit, ann):
    ann.set_password("an old placeholder")
    ann.is_staff = True
    ann.save()
    put(ann, "One")
    context = visit(ann)
    tabs = [context.new_page() for _ in range(2)]
    for tab in tabs:
        tab.goto("/")
        wait_for_badge(tab, "1")
    page = context.new_page()
    page.goto("/admin/password_change/")
    page.fill("[name=old_password]", "an old placeholder")
    page.fill("[name=new_password1]", "a new placeholder")
    page.fill("[name=new_password2]", "a new placeholder")
    page.locator("main [type=submit], #content [type=submit]").first.click()
    page.wait_for_url("**/password_change/done/")
    # The server ends the stream of the old session within a second or two.
    for tab in tabs:
        bell(tab).wait_for(state="hidden")
    put(ann, "Two")
    for tab in tabs:
        wait_for_badge(tab, "2")
    page.goto("/admin/password_change/")
    assert page.url.endswith("/admin/password_change/"), "the user is still signed in"


def test_buttons_that_need_a_permission_are_shown_to_those_who_have_it(visit, ann):
    manager = UserFactory(username="manager")
    manager.user_permissions.add(Permission.objects.get(codename="change_user"))
    for user, expected in ((ann, ["Discuss"]), (manager, ["Approve", "Discuss"])):
        page = visit(user).new_page()
        put(user, "First", event="leave_requested", actions=["approve", "discuss"])
        page.goto("/")
        wait_for_badge(page, "1")
        bell(page).click()
        put(user, "Second", event="leave_requested", actions=["approve", "discuss"])
        page.locator("notification-bell .list li").nth(1).wait_for()
        buttons = page.locator("notification-bell .list .action").all_text_contents()
        assert buttons == expected * 2


def test_the_items_of_a_cluster_disappear_with_the_membership(open_page, ann):
    cluster = Cluster.objects.create(name="Orchestra")
    cluster.members.add(ann)
    put(ann, "Rehearsal", cluster=cluster)
    page = open_page()
    put(ann, "Order 7")
    wait_for_badge(page, "2")
    bell(page).click()
    assert page.locator("notification-bell .list li").count() == 2
    # A stream that begins after the change has nothing to compare with.
    page.wait_for_timeout(1000)
    cluster.members.remove(ann)
    wait_for_badge(page, "1")
    assert page.locator("notification-bell .list li .title").all_text_contents() == ["Order 7"]


def test_all_tabs_list_the_newest_of_many_new_items(visit, ann):
    context = visit(ann)
    tabs = [context.new_page() for _ in range(2)]
    for tab in tabs:
        tab.goto("/")
        wait_until_loaded(tab)
    put(ann, *[f"Burst {number}" for number in range(80)])
    for tab in tabs:
        wait_for_badge(tab, "80")
        tab.locator("notification-bell .list .title", has_text="Burst 79").wait_for(state="attached")
    InboxItem.objects.of(ann).mark_read(timezone.now())
    for tab in tabs:
        wait_for_badge(tab, "")
        tab.locator("notification-bell .list .unread").first.wait_for(state="detached")


def test_a_database_from_a_backup_is_followed_from_its_revision_on(open_page, ann, site):
    put(ann, "One")
    put(ann, "Two")
    page = open_page()
    put(ann, "Three")
    wait_for_badge(page, "3")
    site.kill()
    InboxFeed.objects.filter(pk=ann.pk).update(revision=1)
    InboxItem.objects.exclude(title="One").delete()
    requests = []
    page.context.on("request", lambda request: requests.append(request.url) if "/inbox/" in request.url else None)
    site.start()
    wait_for_badge(page, "1")
    requests.clear()
    page.wait_for_timeout(2000)
    assert len(requests) <= 2
    put(ann, "Four")
    wait_for_badge(page, "2")
