"""The preview: what a change would do to the notifications that wait. It comes true, and changes nothing itself."""

from datetime import UTC, datetime, timedelta

import pytest

from notifications.delivering.dispatcher import Dispatcher
from notifications.manager import NotificationManager
from notifications.models import Delivery, Mute, UserSettings
from notifications.testing import travelling
from tests.preference_centre.conftest import ORDER, PREFERENCES, choose, put_schedule
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db

EVENING = datetime(2026, 11, 20, 22, tzinfo=UTC)


@pytest.fixture
def evening():
    with travelling(EVENING) as travel:
        yield travel


@pytest.fixture
def waiting(ann, evening):
    """Three notifications that are ready, and one of an event that is critical."""
    for number in range(3):
        order = {**ORDER, "order_number": str(number)}
        NotificationManager.send(ShopEvents.ORDER_SHIPPED, [ann], None, order, channels=["email"])
    NotificationManager.send(ShopEvents.STORE_ON_FIRE, [ann], None, {"place": "the cellar"}, channels=["email"])


def test_quiet_hours_let_notifications_wait(browser, waiting):
    page = put_schedule(browser, do="preview", quiet_from="21:00", quiet_until="07:00").content.decode()
    assert "3 notifications wait until 07:00 on 11/21/2026: quiet hours of this user: 21:00–07:00 UTC" in page
    assert "1 notification that waits for you stays as it is." in page
    assert 'name="quiet_from" value="21:00"' in page
    assert not UserSettings.objects.exists()


def test_times_are_in_the_zone_of_the_form(browser, waiting):
    page = put_schedule(
        browser, do="preview", quiet_from="21:00", quiet_until="23:30", time_zone="Europe/Berlin"
    ).content.decode()
    assert "3 notifications wait until 23:30: quiet hours" in page


def test_off_stops_them(browser, waiting):
    page = choose(browser, do="preview", events__email__order_shipped="off").content.decode()
    assert "3 notifications are not sent: user: event order_shipped by email is off" in page
    assert '<option value="off" selected>' in page
    assert not UserSettings.objects.exists()


def test_a_choice_can_be_saved_after_its_preview(browser, ann, waiting):
    page = choose(browser, do="preview", events__email__order_shipped="off").content.decode()
    assert 'name="shown" value="{}"' in page
    choose(browser, events__email__order_shipped="off")
    assert UserSettings.objects.get().events == {"order_shipped": {"email": False}}


def test_a_mute_stops_them(browser, waiting):
    data = {"section": "mutes", "do": "preview", "mute-subject": "event:order_shipped", "mute-duration": "day"}
    page = browser.post(PREFERENCES, data).content.decode()
    assert "3 notifications are not sent: user: muted event order_shipped until 2026-11-21 22:00 UTC" in page
    assert not Mute.objects.exists()


def test_held_notifications_of_a_digest_that_is_turned_off_are_not_sent(browser, ann, cluster, evening):
    UserSettings(user=ann, cluster=cluster, digest="daily").save()
    NotificationManager.send(ShopEvents.ORDER_SHIPPED, [ann], None, ORDER, channels=["email"])
    assert Delivery.objects.get().reason == "digest"
    page = choose(browser, do="preview", events__email__daily_digest="off").content.decode()
    assert "1 notification is not sent: user: event daily_digest by email is off" in page


def test_what_waits_for_others_or_in_another_cluster_does_not_count(browser, ann, evening):
    page = choose(browser, do="preview", channels__email__="off").content.decode()
    assert "No notification is waiting for you" in page


@pytest.mark.parametrize(
    "change",
    [
        {"quiet_from": "21:00", "quiet_until": "07:00"},
        {"quiet_from": "12:00", "quiet_until": "13:00"},
        {
            **{"delivery_windows-0-channel": "email", "delivery_windows-0-start": "09:00"},
            **{"delivery_windows-0-end": "10:00"},
        },
    ],
)
def test_it_comes_true(change, browser, ann, waiting, evening):
    page = put_schedule(browser, do="preview", **change)
    forecast = page.context["page"].forecast
    put_schedule(browser, **change)
    Dispatcher().run_until_idle()
    held = Delivery.objects.filter(state="held")
    lines = [line for line in forecast.lines if "wait until" in line]
    assert bool(held) == bool(lines)
    for delivery in held:
        assert f"{delivery.due_at:%H:%M}" in lines[0]
    assert held.count() + forecast.unchanged == 4


def test_the_number_of_queries_does_not_depend_on_what_waits(browser, waiting, ann, django_assert_num_queries):
    order = {"section": "choices", "do": "preview", "events.email.order_shipped": "off"}
    with django_assert_num_queries(14):
        browser.post(PREFERENCES, order)
    for _ in range(10):
        NotificationManager.send(
            ShopEvents.ORDER_SHIPPED, [ann], None, ORDER, channels=["email"], send_at=EVENING + timedelta(hours=1)
        )
    with django_assert_num_queries(14):
        browser.post(PREFERENCES, order)
