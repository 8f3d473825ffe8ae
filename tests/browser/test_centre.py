"""The notification centre in Chromium under the policy ``default-src 'self'``: by keyboard, live, without scripts."""

import pytest

from notifications.models import InboxItem
from tests.browser.keyboard import tab_to
from tests.factories import UserFactory
from tests.live.site import put
from tests.processes import until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.needs("playwright", "uvicorn", "channels"),
    pytest.mark.needs_program("chromium"),
    pytest.mark.slow,
    pytest.mark.one_database,
]
INBOX = "/notifications/inbox/"


@pytest.fixture
def ann():
    return UserFactory(username="ann")


@pytest.fixture
def open_centre(visit, ann):
    def open_centre(path=INBOX, **options):
        page = visit(ann, **options).new_page()
        page.goto(path)
        return page

    return open_centre


def focused(page):
    """Return the title of the item that has the focus."""
    return page.evaluate(
        "document.activeElement.closest('[data-item]')?.querySelector('.title a').lastChild.data.trim()"
    )


def wait_for_titles(page, *titles):
    page.wait_for_function(
        "titles => [...document.querySelectorAll('[data-item] .title a')]"
        ".map(link => link.lastChild.data.trim()).join() === titles",
        arg=",".join(titles),
    )


def load(title):
    return InboxItem.objects.get(title=title)


def test_everything_is_done_by_keyboard_and_nothing_reloads(open_centre, ann):
    put(ann, "One")
    put(ann, "Two")
    put(ann, "Three")
    page = open_centre()
    page.evaluate("window.marker = 1")
    press = page.keyboard.press
    press("j")
    press("j")
    assert focused(page) == "Two"
    press("k")
    assert focused(page) == "Three"
    press("e")
    wait_for_titles(page, "Two", "One")
    assert focused(page) == "Two"
    assert page.locator("#status").text_content() == "1 notification was archived."
    press("u")
    until(lambda: load("Two").read_at)
    page.locator("[data-item]:not(.unread)").wait_for()
    press("s")
    press("Enter")
    wait_for_titles(page, "One")
    press("/")
    page.keyboard.type("nowhere")
    page.locator("#inbox .empty").wait_for()
    assert page.evaluate("document.activeElement.id") == "q"
    page.wait_for_url("**q=nowhere*")
    page.go_back()
    wait_for_titles(page, "One")
    press("?")
    page.locator("dialog[open]").wait_for()
    press("Escape")
    page.locator("dialog[open]").wait_for(state="detached")
    press("j")
    assert focused(page) == "One"
    press("o")
    page.locator(".inbox[data-page=item]").wait_for()
    assert page.url.endswith(f"{INBOX}{load('One').pk}/")
    until(lambda: load("One").read_at)
    assert page.evaluate("window.marker") == 1


def test_a_search_that_is_not_finished_does_not_start_after_the_user_has_gone_back(open_centre, ann):
    put(ann, "One")
    page = open_centre()
    page.keyboard.press("/")
    page.keyboard.type("nowhere")
    page.wait_for_url("**q=nowhere*")
    page.keyboard.type("!")
    page.go_back()
    wait_for_titles(page, "One")
    page.keyboard.press("j")
    # Longer than the pause in typing after which a search starts.
    page.wait_for_timeout(600)
    assert focused(page) == "One"
    assert page.url.endswith(INBOX)


def test_several_items_are_selected_and_changed_by_keyboard(open_centre, ann):
    for title in ("One", "Two", "Three"):
        put(ann, title)
    page = open_centre()
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.locator(".selected button[value=archive]").focus()
    page.keyboard.press("Enter")
    wait_for_titles(page, "One")
    assert page.locator("#status").text_content() == "2 notifications were archived."
    assert InboxItem.objects.filter(archived_at=None).count() == 1


def test_the_controls_of_a_row_are_there_without_a_mouse(open_centre, ann):
    put(ann, "One")
    page = open_centre()
    menu = page.locator("[data-item] .menu > summary")
    assert menu.evaluate("one => getComputedStyle(one).opacity") == "1"
    assert menu.locator(".spoken").text_content() == "More for: One"
    tab_to(page, "[data-item] input[name=item]")
    tab_to(page, "[data-item] .menu > summary")
    page.keyboard.press("Enter")
    tab_to(page, "[data-item] button[value^=archive]", 10)
    page.keyboard.press("Enter")
    until(lambda: load("One").archived_at)


def test_the_menu_of_a_row_is_opened_used_and_left_by_keyboard(open_centre, ann):
    put(ann, "One")
    put(ann, "Two")
    page = open_centre()
    press, menu = page.keyboard.press, page.locator("[data-item] .menu").first
    press("j")
    tab_to(page, "[data-item] .menu > summary", 1)
    assert focused(page) == "Two"
    for key in ("Enter", "Space"):
        press(key)
        assert menu.evaluate("one => one.open")
        tab_to(page, "[data-item] .menu button", 1)
        press("Tab")
        press("Shift+Tab")
        assert focused(page) == "Two"
        press("Escape")
        assert not menu.evaluate("one => one.open")
        assert page.evaluate("document.activeElement.matches('.menu > summary')")
    press("Enter")
    tab_to(page, "[data-item] button[value^=unread], [data-item] button[value^=read]", 3)
    press("Enter")
    until(lambda: load("Two").read_at)
    assert load("One").read_at is None


def test_a_new_item_appears_in_the_list_and_the_focus_stays(open_centre, ann):
    put(ann, "One")
    page = open_centre()
    page.locator("notification-bell .badge").wait_for()
    page.keyboard.press("j")
    put(ann, "Two")
    wait_for_titles(page, "Two", "One")
    assert focused(page) == "One"


def test_what_another_tab_does_appears_in_the_list(open_centre, ann):
    put(ann, "One", "Two")
    page = open_centre()
    page.locator("notification-bell .badge").wait_for()
    InboxItem.objects.filter(title="One").archive(load("One").created_at)
    wait_for_titles(page, "Two")


def test_an_item_with_a_link_leads_there_and_is_read(open_centre, ann):
    put(ann, "One", url="/?order=7")
    page = open_centre()
    page.locator("[data-item]").click()
    page.wait_for_url("**/?order=7")
    until(lambda: load("One").read_at)


def test_items_on_the_page_become_seen_and_not_read(open_centre, ann):
    put(ann, "One")
    open_centre()
    until(lambda: load("One").seen_at)
    assert load("One").read_at is None


def test_it_works_without_a_script(open_centre, ann):
    put(ann, "One", "Two")
    page = open_centre(java_script_enabled=False)
    page.locator("[data-item] .menu > summary").first.click()
    page.get_by_role("button", name="Archive").click()
    assert "1 notification was archived." in page.locator(".messages").inner_text()
    page.locator("[data-item] input[name=item]").check()
    page.locator(".selected button[value=read]").click()
    assert "1 notification was marked as read." in page.locator(".messages").inner_text()
    page.locator("input[name=q]").fill("nowhere")
    page.locator(".search button").click()
    assert "No notifications match." in page.locator("#inbox .empty").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_twenty_items_fit_on_two_screens_of_a_phone(scheme, open_centre, ann):
    put(ann, *[f"Order {number} is on its way" for number in range(25)], body="It will arrive on Tuesday. " * 5)
    page = open_centre(viewport={"width": 360, "height": 800}, color_scheme=scheme)
    assert page.locator("[data-item]").count() == 20
    assert page.evaluate("document.documentElement.scrollHeight") <= 1600
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_a_new_item_closes_no_menu_and_follows_when_it_is_closed(open_centre, ann):
    put(ann, "One")
    page = open_centre()
    page.wait_for_function("() => document.querySelector('notification-bell')?.total === 1")
    page.keyboard.press("j")
    page.keyboard.press("s")
    put(ann, "Two")
    page.wait_for_function("() => document.querySelector('notification-bell').total === 2")
    page.wait_for_timeout(500)
    assert page.evaluate("document.activeElement.dataset.key") == "s"
    page.keyboard.press("Escape")
    wait_for_titles(page, "Two", "One")
