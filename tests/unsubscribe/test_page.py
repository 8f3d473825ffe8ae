"""The page of a link: what the recipient can turn off and on, without a log-in, a cookie or JavaScript."""

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from notifications.events import NOTIFICATION_EVENTS, NotificationEvent, NotificationPriority
from notifications.models import Cluster, Mute, PreferenceChange, SharedPreference, UserSettings
from notifications.testing import temporary_events
from tests.factories import UserSettingsFactory
from tests.shop.notification_events import ShopEvents
from tests.unsubscribe.conftest import click, find_link, send

pytestmark = pytest.mark.django_db


def choose(browser, link, scope, answer="off"):
    return browser.post(f"{link}choice/", {"scope": scope, "answer": answer})


def list_choices(page):
    """Return what each form on the page would do."""
    forms = re.findall(r'action="(\S+)".*?name="scope" value="(\w+)".*?value="(on|off)"', page, re.DOTALL)
    return {scope: answer for _, scope, answer in forms}


@pytest.fixture
def orders():
    """Declare two events of the category "orders"."""
    with temporary_events():
        NOTIFICATION_EVENTS[ShopEvents.ORDER_REFUSED] = NotificationEvent(
            "order_refused", NotificationPriority.HIGH, ["email", "log"], context={}, category="orders"
        )
        yield


def test_shows_the_event_and_everything(browser, link):
    response = browser.get(link)
    page = response.content.decode()
    assert list_choices(page) == {"event": "off", "all": "off"}
    assert "“Order shipped” by email" in page
    assert (response.headers["Referrer-Policy"], response.headers["X-Robots-Tag"]) == ("no-referrer", "noindex")
    assert "no-store" in response.headers["Cache-Control"]
    assert not response.cookies
    assert "<script" not in page


def test_shows_category_topic_and_digest_where_there_is_one(browser, ann, orders):
    link = find_link(send(ann, topic="Road works"))
    UserSettingsFactory(user=ann, cluster=Cluster.objects.default(), digest="weekly")
    page = browser.get(link).content.decode()
    assert list(list_choices(page)) == ["event", "category", "topic", "digest", "all"]
    assert "Everything about “road works”, by email and anywhere else" in page


@pytest.mark.parametrize("scope", ["event", "category", "topic", "all"])
def test_each_choice_stops_this_email_and_can_be_undone(browser, ann, orders, scope):
    link = find_link(send(ann, topic="road works"))
    page = choose(browser, link, scope)
    assert page.status_code == 200
    assert "including what is already waiting" in page.content.decode()
    assert send(ann, topic="road works") is None
    assert list_choices(browser.get(link).content.decode())[scope] == "on"
    choose(browser, link, scope, "on")
    assert send(ann, topic="road works") is not None
    assert [change.by for change in PreferenceChange.objects.all()] == [ann, ann]


def test_a_category_stops_all_its_events_even_if_one_was_turned_on(browser, ann, link, orders):
    settings = UserSettingsFactory(user=ann, cluster=Cluster.objects.default())
    settings.events = {"order_shipped": {"email": True}}
    settings.save()
    choose(browser, link, "category")
    assert send(ann) is None
    assert send(ann, ShopEvents.NEWSLETTER, {}) is not None
    settings.refresh_from_db()
    assert settings.categories == {"orders": {"email": False}}
    assert settings.events == {"order_shipped": {"email": False}}


def test_everything_stops_except_critical_events(browser, ann, link):
    page = choose(browser, link, "all").content.decode()
    assert list_choices(page) == {"all": "on"}
    assert send(ann) is send(ann, ShopEvents.NEWSLETTER, {}) is None
    assert send(ann, ShopEvents.STORE_ON_FIRE, {"place": "the cellar"}) is not None


def test_a_topic_is_muted_permanently(browser, ann):
    link = find_link(send(ann, topic="road works"))
    choose(browser, link, "topic")
    mute = Mute.objects.get()
    assert (mute.user, mute.kind, mute.value, mute.until) == (ann, "topic", "road works", None)
    assert send(ann, topic="another") is not None
    choose(browser, link, "topic", "on")
    assert not Mute.objects.exists()


def test_turning_on_what_the_cluster_has_turned_off_is_a_choice_of_the_user(browser, ann, link):
    SharedPreference(events={"order_shipped": {"email": False}}).save()
    assert list_choices(browser.get(link).content.decode())["event"] == "on"
    choose(browser, link, "event", "on")
    assert send(ann) is not None
    assert UserSettings.objects.get().events == {"order_shipped": {"email": True}}


def test_turning_on_leaves_no_choice_behind(browser, ann, link):
    click(browser, link)
    choose(browser, link, "event", "on")
    settings = UserSettings.objects.get()
    assert (settings.events, settings.channels, settings.categories) == ({}, {}, {})


@pytest.mark.parametrize("form", [{}, {"scope": "event"}, {"scope": "nothing", "answer": "off"}, {"answer": "off"},
                                  {"scope": "topic", "answer": "off"}, {"scope": "event", "answer": "x"}])  # fmt: skip
def test_any_other_form_changes_nothing(browser, link, form):
    assert browser.post(f"{link}choice/", form).status_code == 400
    assert browser.get(f"{link}choice/", form).status_code == 405
    assert not UserSettings.objects.exists()


def test_an_event_that_has_become_critical_cannot_be_turned_off(browser, ann, link):
    with temporary_events():
        NOTIFICATION_EVENTS[ShopEvents.ORDER_SHIPPED] = NotificationEvent(
            "order_shipped", NotificationPriority.CRITICAL, ["email"]
        )
        assert "“Order shipped” cannot be turned off." in browser.get(link).content.decode()
        click(browser, link)
        assert send(ann) is not None


def test_the_page_is_in_the_language_of_the_recipient(browser, ann, link):
    UserSettingsFactory(user=ann, cluster=Cluster.objects.default(), language="ar")
    page = browser.get(link).content.decode()
    assert '<html lang="ar" dir="rtl">' in page


def test_an_invalid_link_says_what_to_do(browser, link):
    response = browser.get(link.replace("unsubscribe/", "unsubscribe/x"))
    assert response.status_code == 404
    assert "Copy the whole link" in response.content.decode()


def test_names_are_escaped(browser, ann):
    link = find_link(send(ann, topic="<b>x</b>"))
    assert "&lt;b&gt;x&lt;/b&gt;" in browser.get(link).content.decode()


def test_a_page_takes_a_constant_number_of_queries(browser, ann, orders):
    link = find_link(send(ann, topic="road works"))
    for number in range(20):
        Mute(user=ann, kind="topic", value=f"topic {number}").save()
    with CaptureQueriesContext(
        connection,
    ) as queries:
        browser.get(link)
    assert len(queries) <= 12


def test_an_event_without_a_category_has_no_choice_of_one(browser, ann):
    events = {ShopEvents.ORDER_SHIPPED: "order_shipped", ShopEvents.NEWSLETTER: "shop_newsletter"}
    with temporary_events():
        for member, name in events.items():
            NOTIFICATION_EVENTS[member] = NotificationEvent(name, NotificationPriority.MEDIUM, ["email"])
        link = find_link(send(ann))
        assert list(list_choices(browser.get(link).content.decode())) == ["event", "all"]


def test_a_critical_email_leads_to_the_choices_about_everything_else(browser, ann, orders, no_preference_centre):
    with temporary_events():
        event = NotificationEvent("store_on_fire", NotificationPriority.CRITICAL, ["email"], category="orders")
        NOTIFICATION_EVENTS[ShopEvents.STORE_ON_FIRE] = event
        message = send(ann, ShopEvents.STORE_ON_FIRE, {"place": "the cellar"})
        url = re.search(r"Choose what you get: https://shop.example.com(\S+)", message.body)[1]
        page = browser.get(url).content.decode()
    assert list(list_choices(page)) == ["category", "all"]
    assert "Unsubscribe" not in message.body
