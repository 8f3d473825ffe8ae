"""Saving the matrix: only what the user has changed, and it applies at once."""

import pytest
from django.test import Client

from notifications.manager import NotificationManager
from notifications.models import Delivery, PreferenceChange, SharedPreference, UserSettings
from notifications.outcomes import DeliveryState
from tests.preference_centre.conftest import ORDER, choose, find_settings, send, work
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db


def test_a_choice_is_saved_and_recorded(browser, ann):
    response = choose(browser, events__email__order_shipped="off", channels__app__="inherit")
    assert (response.status_code, response.url) == (302, "/notifications/preferences/?saved=choices#choices")
    assert find_settings(ann).events == {"order_shipped": {"email": False}}
    change = PreferenceChange.objects.get()
    assert (change.by, change.after) == (ann, {"events": {"order_shipped": {"email": False}}})
    assert "Your choices are saved." in browser.get(response.url).content.decode()


def test_inherit_removes_the_choice(browser, ann, cluster):
    UserSettings(user=ann, cluster=cluster, events={"order_shipped": {"email": False, "app": False}}).save()
    shown = {"events.email.order_shipped": "off", "events.app.order_shipped": "off"}
    choose(browser, shown=shown, events__email__order_shipped="inherit", events__app__order_shipped="off")
    assert find_settings(ann).events == {"order_shipped": {"app": False}}


def test_a_choice_for_all_channels_is_split_when_one_is_removed(browser, ann, cluster):
    UserSettings(user=ann, cluster=cluster, events={"order_shipped": False}, channels={"*": False}).save()
    shown = {"events.email.order_shipped": "off", "channels.app.": "off"}
    choose(browser, shown=shown, events__email__order_shipped="inherit", channels__app__="inherit")
    settings = find_settings(ann)
    assert "email" not in settings.events["order_shipped"]
    assert settings.events["order_shipped"]["app"] is False
    assert "app" not in settings.channels
    assert settings.channels["sms"] is False


def test_categories_and_channels_can_be_chosen(browser, ann):
    choose(browser, categories__email__orders="off", channels__app__="on")
    settings = find_settings(ann)
    assert (settings.categories, settings.channels) == ({"orders": {"email": False}}, {"app": True})


def test_what_another_page_has_saved_meanwhile_stays(browser, ann, cluster):
    UserSettings(user=ann, cluster=cluster, events={"order_shipped": {"app": False}}).save()
    choose(browser, events__email__order_shipped="on", events__app__order_shipped="inherit")
    assert find_settings(ann).events == {"order_shipped": {"email": True, "app": False}}


@pytest.mark.parametrize(
    "field",
    [
        "events.email.store_on_fire",
        "events.email.nothing",
        "events.fax.order_shipped",
        "events.email.order_refused",
        "events.email.test_message",
        "addresses.email.",
    ],
)
def test_only_choices_of_the_page_can_be_saved(field, browser):
    assert choose(browser, **{field: "off"}).status_code == 302
    assert not UserSettings.objects.exists()


@pytest.mark.parametrize("shown", ["", "no JSON", "[]", "[" * 100_000, '{"events.email.order_shipped": 7}'])
def test_a_damaged_list_of_shown_choices_does_no_harm(shown, browser, ann):
    data = {"section": "choices", "do": "save", "shown": shown, "events.email.order_shipped": "off"}
    assert browser.post("/notifications/preferences/", data).status_code == 302
    assert find_settings(ann).events == {"order_shipped": {"email": False}}


def test_off_stops_what_is_queued(browser, ann):
    NotificationManager.send(ShopEvents.ORDER_SHIPPED, [ann], None, ORDER, channels=["email"])
    choose(browser, events__email__order_shipped="off")
    assert work() is None
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.reason) == (DeliveryState.DROPPED, "preference")


def test_on_overrides_the_cluster(browser, ann, cluster):
    SharedPreference(cluster=cluster, channels={"email": False}).save()
    assert send(ann) is None
    choose(browser, events__email__order_shipped="on")
    assert send(ann) is not None


def test_a_forged_request_is_refused(ann):
    client = Client(enforce_csrf_checks=True)
    client.force_login(ann)
    assert choose(client, channels__email__="off").status_code == 403
    assert not UserSettings.objects.exists()


def test_the_page_only_shows_preferences_that_are_kept_elsewhere(browser, settings):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "PREFERENCES": f"{__name__}.Elsewhere"}
    page = browser.get("/notifications/preferences/").content.decode()
    assert "Your settings are kept elsewhere" in page
    assert "Save</button>" not in page
    assert choose(browser, channels__email__="off").status_code == 400


class Elsewhere:
    def load(self, cluster, user_ids):
        return {}
