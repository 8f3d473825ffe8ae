"""The preference centre in Chromium."""

import pytest

from notifications.models import UserSettings
from tests.factories import UserFactory

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.needs("playwright", "uvicorn", "channels"),
    pytest.mark.needs_program("chromium"),
    pytest.mark.slow,
    pytest.mark.one_database,
]
PREFERENCES = "/notifications/preferences/"


@pytest.fixture
def ann():
    return UserFactory(username="ann")


def test_the_time_zone_of_the_browser_is_offered(visit, ann):
    page = visit(ann, timezone_id="Europe/Vienna").new_page()
    page.goto(PREFERENCES)
    page.get_by_role("button", name="Use Europe/Vienna").click()
    zone = page.locator("input[name=time_zone]")
    assert zone.input_value() == "Europe/Vienna"
    assert zone.evaluate("one => [...one.list.options].some(({ value }) => value === 'Asia/Tokyo')")
    page.locator("form", has=zone).locator("button[value=save]").click()
    page.locator("[role=status]", has_text="saved").wait_for()
    assert UserSettings.objects.get(user=ann).time_zone == "Europe/Vienna"


def test_changes_in_one_form_are_not_lost_by_saving_another(visit, ann):
    page = visit(ann).new_page()
    page.goto(PREFERENCES)
    page.locator("select[name='events.email.order_shipped']").select_option("off")
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    page.locator("form", has=page.locator("input[name=time_zone]")).locator("button[value=save]").click()
    page.wait_for_timeout(500)
    assert asked == ["beforeunload"]
    assert page.locator("select[name='events.email.order_shipped']").input_value() == "off"
