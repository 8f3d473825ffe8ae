"""Whatever is done by keyboard, the focus stays where it is or goes to the neighbour, and never to the top."""

import pytest

from notifications.models import InboxItem
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
def open_page(visit, ann):
    def open_page(path=INBOX):
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


def press(page, control):
    """Press Enter on a control, and wait until the list was replaced."""
    control.focus()
    page.evaluate("document.getElementById('inbox').dataset.isOld = '1'")
    page.keyboard.press("Enter")
    page.locator("#inbox:not([data-is-old])").wait_for()


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


class TestTheCentre:
    def test_after_marking_all_as_read_it_is_beside_the_button(self, open_page, ann):
        put(ann, "One", "Two")
        page = open_page()
        press(page, page.locator(".tools").get_by_role("button", name="Mark all as read"))
        assert focused(page) == "Export"

    def test_after_a_change_of_selected_items_it_stays_on_the_button(self, open_page, ann):
        put(ann, "One", "Two")
        page = open_page()
        for box in page.locator("[data-item] input[name=item]").all():
            box.check()
        press(page, page.locator(".selected button[value=read]"))
        assert focused(page) == "Mark as read"
        assert page.locator("[data-item] input:checked").count() == 2

    def test_after_archiving_a_group_it_is_in_the_next_entry(self, open_page, ann):
        put(ann, "Order 7")
        put(ann, "One", "Two", group_key="week")
        page = open_page()
        page.locator("details.group > summary").click()
        press(page, page.get_by_role("button", name="Archive all"))
        assert focused(page) == "Order 7"

    def test_after_marking_a_group_as_read_it_stays_in_the_group(self, open_page, ann):
        put(ann, "One", "Two", group_key="week")
        page = open_page()
        page.locator("details.group > summary").click()
        press(page, page.locator(".group-tools").get_by_role("button", name="Mark all as read"))
        assert "2 × " in focused(page)

    def test_a_group_that_gets_an_item_stays_open_and_keeps_it(self, open_page, ann):
        put(ann, "One", "Two", group_key="week")
        page = open_page()
        page.locator("details.group > summary").click()
        page.locator("details.group [data-item] input").first.focus()
        before = page.evaluate("document.activeElement.value")
        put(ann, "Three", group_key="week")
        page.locator("details.group[open] [data-item]").nth(2).wait_for()
        assert page.evaluate("[document.activeElement.name, document.activeElement.value]") == ["item", before]

    def test_the_keys_reach_groups_and_the_items_of_open_ones(self, open_page, ann):
        put(ann, "Order 7")
        put(ann, "One", "Two", group_key="week")
        put(ann, "Order 8")
        page = open_page()
        found = []
        for key in ("j", "j", "Enter", "j", "j", "j", "k"):
            page.keyboard.press(key)
            found.append(focused(page))
        group = found.pop(1)
        assert "2 × " in group
        assert group == found.pop(1)
        assert found == ["Order 8", "Two", "One", "Order 7", "One"]

    def test_after_the_last_item_of_a_tab_it_is_at_the_content(self, open_page, ann):
        put(ann, "One")
        page = open_page()
        page.locator("[data-item] .menu > summary").press("Enter")
        press(page, page.locator("[data-item] button[value^=archive]"))
        assert focused(page) == "content"

    def test_a_new_item_moves_it_from_no_control(self, open_page, ann):
        put(ann, "One")
        page = open_page()
        page.locator("nav.filter a", has_text="Archived").focus()
        put(ann, "Two")
        page.locator("[data-item]").nth(1).wait_for()
        assert focused(page) == "Archived"


class TestTheFilters:
    def test_a_list_of_options_is_used_with_the_arrows(self, open_page, ann):
        put(ann, "One")
        page = open_page()
        page.locator("details.more summary").click()
        page.locator("select[name=priority]").focus()
        page.keyboard.press("ArrowDown")
        page.wait_for_timeout(300)
        page.keyboard.press("ArrowDown")
        assert page.evaluate("[document.activeElement.name, document.activeElement.selectedIndex]") == ["priority", 2]
        assert "priority" not in page.url
        chosen = page.locator("select[name=priority]").input_value()
        page.get_by_role("button", name="Apply").press("Enter")
        page.wait_for_url(f"**priority={chosen}*")

    def test_a_choice_that_is_not_applied_yet_survives_a_new_item(self, open_page, ann):
        put(ann, "One")
        page = open_page()
        page.locator("details.more summary").click()
        page.locator("select[name=priority]").focus()
        page.keyboard.press("ArrowDown")
        put(ann, "Two")
        page.wait_for_function("() => document.querySelector('notification-bell').total === 2")
        page.wait_for_timeout(500)
        assert page.evaluate("document.activeElement.name") == "priority"
        assert page.locator("[data-item]").count() == 1, "the list waits while somebody chooses"
        page.keyboard.press("Tab")
        page.locator("[data-item]").nth(1).wait_for()
        assert page.locator("select[name=priority]").evaluate("one => one.selectedIndex") == 1
        assert page.evaluate("document.activeElement.name") == "topic"

    def test_back_shows_the_filters_of_before(self, open_page, ann):
        put(ann, "One")
        page = open_page()
        page.locator("details.more summary").click()
        page.locator("select[name=priority]").select_option(index=1)
        page.get_by_role("button", name="Apply").click()
        page.locator("#inbox .empty").wait_for()
        page.go_back()
        page.locator("[data-item]").wait_for()
        assert page.locator("select[name=priority]").input_value() == ""
        until(lambda: InboxItem.objects.get().seen_at)
