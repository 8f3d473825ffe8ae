"""One click in a mail program (RFC 8058): no log-in, no cookie, no redirect, and it applies to what is queued."""

import re
import shutil
import subprocess
from datetime import timedelta

import pytest
from django.conf import settings as site
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from notifications import signals
from notifications.delivering.dispatcher import Dispatcher
from notifications.digests import make_due
from notifications.events import NOTIFICATION_EVENTS
from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery, PreferenceChange, SharedPreference, UserSettings
from notifications.outcomes import DeliveryState, Reason
from notifications.preferences import UserPreferences
from notifications.testing import travelling
from notifications.unsubscribe.changes import PreferenceNotChanged
from tests.factories import UserSettingsFactory
from tests.shop.notification_events import ShopEvents
from tests.unsubscribe.conftest import ORDER, click, find_link, send, work

pytestmark = pytest.mark.django_db


def test_the_event_stops_and_others_do_not(ann, browser, link):
    response = click(browser, link)
    assert (response.status_code, response.headers.get("Location"), response.cookies) == (200, None, {})
    assert send(ann) is None
    assert send(ann, ShopEvents.NEWSLETTER, {}) is not None
    assert send(ann, ShopEvents.STORE_ON_FIRE, {"place": "the cellar"}) is not None


def test_only_the_channel_of_the_email_stops(ann, browser, link):
    click(browser, link)
    result = NotificationManager.send(ShopEvents.ORDER_SHIPPED, [ann], None, ORDER)
    assert (result.queued, result.reasons) == (1, {Reason.PREFERENCE: 1})


def test_what_is_queued_already_is_not_sent(ann, browser, link):
    NotificationManager.send(ShopEvents.ORDER_SHIPPED, [ann], None, ORDER, channels=["email"])
    later = timezone.now() + timedelta(hours=1)
    NotificationManager.send(ShopEvents.ORDER_SHIPPED, [ann], None, ORDER, channels=["email"], send_at=later)
    click(browser, link)
    assert work() is None
    with travelling(later + timedelta(minutes=1)):
        assert work() is None
    waiting = Delivery.objects.exclude(state=DeliveryState.SENT)
    assert {(row.state, row.reason) for row in waiting} == {(DeliveryState.DROPPED, Reason.PREFERENCE)}


def test_a_second_click_changes_nothing(ann, browser, link):
    assert [click(browser, link).status_code for _ in range(3)] == [200] * 3
    [change] = PreferenceChange.objects.all()
    assert (change.by, change.subject, change.table) == (ann, f"u:{ann.pk}", "usersettings")
    assert change.after == {"events": {"order_shipped": {"email": False}}}


def test_a_form_with_several_parts_is_accepted(ann, browser, link):
    body = '--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n'
    assert browser.post(link, body, content_type="multipart/form-data; boundary=x").status_code == 200
    assert send(ann) is None


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("", "application/x-www-form-urlencoded"),
        ("List-Unsubscribe=one-click", "application/x-www-form-urlencoded"),
        ("list-unsubscribe=One-Click", "application/x-www-form-urlencoded"),
        ("List-Unsubscribe=One-Click&x=1", "application/x-www-form-urlencoded"),
        ("List-Unsubscribe=One-Click&List-Unsubscribe=One-Click", "application/x-www-form-urlencoded"),
        ("List-Unsubscribe=One-Click", "text/plain"),
        ('{"List-Unsubscribe": "One-Click"}', "application/json"),
        ("List-Unsubscribe=One-Click", "multipart/form-data"),
        ("--x\r\nbroken", "multipart/form-data; boundary=x"),
        (
            '--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"; filename="a"\r\n\r\nOne-Click'
            "\r\n--x--\r\n",
            "multipart/form-data; boundary=x",
        ),
    ],
)
def test_any_other_form_changes_nothing(ann, browser, link, body, content_type):
    assert browser.post(link, body, content_type=content_type).status_code == 400
    assert not UserSettings.objects.exists()


def test_an_event_that_cannot_be_turned_off_says_so_and_changes_nothing(ann, browser):
    """The email has no header for it, but the link in its text has the same token."""
    message = send(ann, ShopEvents.STORE_ON_FIRE, {"place": "the cellar"})
    token = re.search(r"https://shop\.example\.com/\S*?/([\w-]+\.[\w-]+)/\s", message.body)[1]
    response = click(browser, reverse("notifications:unsubscribe", args=[token]))
    assert response.status_code == 200
    assert response.content.decode() == "This kind of notification cannot be turned off. Nothing was changed."
    assert not UserSettings.objects.exists()
    assert send(ann, ShopEvents.STORE_ON_FIRE, {"place": "the cellar"}) is not None


@pytest.mark.parametrize("method", ["get", "head", "put", "patch", "delete", "options", "trace"])
def test_other_methods_change_nothing(ann, browser, link, method):
    response = getattr(browser, method)(f"{link}?List-Unsubscribe=One-Click")
    assert response.status_code == (200 if method in ("get", "head") else 405)
    assert not UserSettings.objects.exists()
    assert send(ann) is not None


def test_a_changed_token_changes_nothing(ann, browser, link):
    for changed in (link.replace("unsubscribe/", "unsubscribe/x"), link[:-3] + "AA/"):
        response = click(browser, changed)
        assert response.status_code == 404
    assert not UserSettings.objects.exists()


def test_who_is_logged_in_does_not_matter(ann, link, django_user_model):
    other = Client()
    other.force_login(django_user_model.objects.create_user("bob"))
    click(other, link)
    assert UserSettings.objects.get().user == ann


def test_a_site_that_requires_log_in_everywhere_lets_it_through(ann, browser, link, settings):
    settings.MIDDLEWARE = [*site.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    assert browser.get(link).status_code == 200
    assert click(browser, link).status_code == 200


def test_after_the_account_was_deleted_it_still_answers(ann, browser, link):
    ann.delete()
    assert click(browser, link).status_code == 200
    assert "no longer exists" in browser.get(link).content.decode()


def test_after_the_notification_was_deleted_it_still_works(ann, browser, link):
    Delivery.objects.get().notification.delete()
    assert click(browser, link).status_code == 200
    assert send(ann) is None


def test_an_event_that_is_no_longer_registered_can_still_be_turned_off(ann, browser, link):
    event = NOTIFICATION_EVENTS.pop(ShopEvents.ORDER_SHIPPED)
    try:
        assert click(browser, link).status_code == browser.get(link).status_code == 200
    finally:
        NOTIFICATION_EVENTS[ShopEvents.ORDER_SHIPPED] = event
    assert send(ann) is None


def test_choices_for_other_channels_stay(ann, browser, link):
    settings = UserSettingsFactory(user=ann, cluster=Delivery.objects.get().notification.cluster)
    settings.events = {"order_shipped": True, "*": {"app": False}}
    settings.channels = {"app": True}
    settings.save()
    click(browser, link)
    settings.refresh_from_db()
    assert settings.events == {"order_shipped": {"*": True, "email": False}, "*": {"app": False}}
    assert settings.channels == {"app": True}


def test_a_choice_of_the_cluster_does_not_override_it(ann, browser, link):
    SharedPreference(events={"order_shipped": {"email": True}}).save()
    click(browser, link)
    assert send(ann) is None


def test_it_is_stored_even_if_the_cluster_has_turned_the_event_off(ann, browser, link):
    shared = SharedPreference(events={"order_shipped": {"email": False}})
    shared.save()
    click(browser, link)
    shared.delete()
    assert send(ann) is None


def test_it_is_stored_even_if_the_user_has_turned_everything_off(ann, browser, link):
    settings = UserSettingsFactory(user=ann, cluster=Cluster.objects.default(), channels={"email": False})
    click(browser, link)
    settings.refresh_from_db()
    assert settings.events == {"order_shipped": {"email": False}}


def test_a_signal_reports_it_once(ann, browser, link, django_capture_on_commit_callbacks):
    seen = []

    def receive(**about):
        seen.append((about["user"], about["channel"], about["scope"], about["name"], about["notification_id"]))

    signals.recipient_unsubscribed.connect(receive)
    try:
        for _ in range(2):
            with django_capture_on_commit_callbacks(execute=True):
                click(browser, link)
    finally:
        signals.recipient_unsubscribed.disconnect(receive)
    assert seen == [(ann, "email", "event", "order_shipped", Delivery.objects.get().notification_id)]


class TestDigests:
    @pytest.fixture
    def reader(self, ann):
        UserSettingsFactory(user=ann, cluster=Cluster.objects.default(), digest="daily")
        return ann

    def order(self, reader):
        NotificationManager.send(ShopEvents.ORDER_SHIPPED, [reader], None, ORDER, channels=["email"])

    def test_the_digest_stops_with_everything_that_waits_for_it(self, reader, browser):
        self.order(reader)
        tomorrow = timezone.now() + timedelta(days=1)
        with travelling(tomorrow):
            assert make_due().made == 1
            digest = work()
            assert digest.extra_headers["List-Id"].startswith("<daily_digest.")
            self.order(reader)
            assert click(browser, find_link(digest)).status_code == 200
            self.order(reader)
        mail.outbox.clear()
        with travelling(tomorrow + timedelta(days=2)):
            assert make_due().refused == 1
            Dispatcher().run_until_idle()
        assert mail.outbox == []
        dropped = Delivery.objects.get(state=DeliveryState.DROPPED)
        assert dropped.reason == Reason.PREFERENCE

    def test_a_digest_that_is_queued_already_is_not_sent(self, reader, browser):
        self.order(reader)
        with travelling(timezone.now() + timedelta(days=1)):
            make_due()
            link = find_link(work())
            self.order(reader)
        with travelling(timezone.now() + timedelta(days=2)):
            make_due()
            click(browser, link)
            assert work() is None

    def test_urgent_events_are_still_sent(self, reader, browser):
        self.order(reader)
        with travelling(timezone.now() + timedelta(days=1)):
            make_due()
            click(browser, find_link(work()))
        assert send(reader, ShopEvents.STORE_ON_FIRE, {"place": "the cellar"}) is not None


class OwnSource:
    """Preferences of the site, which Klaxon cannot change."""

    def load(self, cluster, user_ids):
        return {}


class ChangeableSource:
    changes = []

    def load(self, cluster, user_ids):
        events = {change[2]: {change[3]: change[4]} for change in self.changes}
        return {pk: UserPreferences(UserSettings(events=events)) for pk in user_ids}

    def set_wanted(self, cluster, user, scope, name, channel, wanted):
        self.changes.append((user, scope, name, channel, wanted))


def test_preferences_of_the_site_are_changed_by_its_own_class(ann, browser, link, settings):
    settings.NOTIFICATIONS = {"PREFERENCES": f"{__name__}.ChangeableSource"}
    assert click(browser, link).status_code == 200
    assert ChangeableSource.changes == [(ann, "event", "order_shipped", "email", False)]
    assert not UserSettings.objects.exists()


def test_preferences_that_nobody_can_change_are_an_error(browser, link, settings):
    settings.NOTIFICATIONS = {"PREFERENCES": f"{__name__}.OwnSource"}
    with pytest.raises(PreferenceNotChanged, match="set_wanted"):
        click(browser, link)
    assert not UserSettings.objects.exists()


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_curl_can_do_it(ann, link, live_server):
    command = ["curl", "-si", "-X", "POST", "-d", "List-Unsubscribe=One-Click", live_server.url + link]
    for _ in range(2):
        answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert answer.startswith("HTTP/1.1 200")
        assert "Location" not in answer
        assert "Set-Cookie" not in answer
    assert send(ann) is None
