"""Whatever is done by keyboard, the focus stays where it is or goes to the neighbour, and never to the top."""

import pytest

from notifications.models import InboxItem
from tests.factories import UserFactory
from tests.live.site import put

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.needs("playwright", "uvicorn", "channels"),
    pytest.mark.needs_program("chromium"),
    pytest.mark.slow,
    pytest.mark.one_database,
]


@pytest.fixture
def ann():
    return UserFactory(username="ann")


@pytest.fixture
def open_page(visit, ann):
    def open_page(path="/"):
        page = visit(ann).new_page()
        page.goto(path)
        page.wait_for_function("() => document.querySelector('notification-bell')?.total !== undefined")
        return page

    return open_page


def focused(page):
    """Return the text of the element that has the focus, or of its item's title."""
    script = """() => {
      const one = document.activeElement.shadowRoot?.activeElement ?? document.activeElement;
      const text = one.getAttribute('aria-label') ?? one.querySelector('.title')?.textContent ?? one.lastChild?.data;
      return one.id || (text ?? one.textContent).trim() || one.localName;
    }"""
    return page.evaluate(script)


class TestTheBell:
    def press(self, page, name):
        page.locator("notification-bell button.bell").click()
        page.locator("notification-bell .list button", has_text=name).first.focus()
        page.keyboard.press("Enter")

    def test_after_an_action_it_stays_in_the_row(self, open_page, ann):
        put(ann, "Leave", event="leave_requested", actions=["discuss", "dismiss"])
        page = open_page("/")
        self.press(page, "Discuss")
        page.locator("notification-bell .actions").wait_for(state="detached")
        assert InboxItem.objects.get().action_taken == "discuss"
        assert focused(page) == "Leave"

    def test_after_dismissing_an_item_it_is_in_the_next_one(self, open_page, ann):
        put(ann, "Order 7")
        put(ann, "Leave", event="leave_requested", actions=["dismiss"])
        page = open_page("/")
        self.press(page, "dismiss")
        page.locator("notification-bell .list li").nth(1).wait_for(state="detached")
        assert focused(page) == "Order 7"

    def test_after_an_action_that_fails_it_stays_on_the_button(self, open_page, ann):
        put(ann, "Leave", event="leave_requested", actions=["discuss"])
        page = open_page("/")
        page.context.route("**/act/discuss/", lambda route: route.fulfill(status=500))
        self.press(page, "Discuss")
        page.locator("notification-bell .toast").wait_for()
        assert focused(page) == "Discuss"
        page.locator("notification-bell .toast .close").focus()
        page.keyboard.press("Enter")
        assert focused(page) == "1 unread notification"
