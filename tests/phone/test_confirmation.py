"""A phone number for SMS is confirmed by a link in an SMS. Calls cannot show a link."""

import re
from urllib.parse import urlsplit

import pytest
from django.test import Client

from notifications.delivering.dispatcher import Dispatcher
from notifications.models import UserSettings
from tests.phone.conftest import PHONE, send_test

pytestmark = [pytest.mark.django_db, pytest.mark.needs("requests")]
PREFERENCES = "/notifications/preferences/"
NEW = "+4917012345678"


@pytest.fixture
def browser(ann, site):
    client = Client()
    client.force_login(ann)
    return client


def put(browser, channel, address=NEW):
    values = {"section": "addresses", "do": "request", "channel": channel, "address": address}
    return browser.post(PREFERENCES, values)


def work():
    dispatcher = Dispatcher()
    dispatcher.run_until_idle()
    dispatcher.close()


def test_a_number_is_confirmed_by_an_sms(browser, service, ann):
    assert put(browser, "sms").status_code == 302
    work()
    form = service.received[-1].form
    assert form["To"] == NEW
    path = urlsplit(re.search(r"https://shop\.example\.com\S+/address/\S+$", form["Body"])[0]).path
    assert UserSettings.objects.get().addresses["sms"] == PHONE
    assert Client().post(path).status_code == 200
    assert UserSettings.objects.get().addresses["sms"] == NEW


def test_a_number_for_calls_cannot_be_changed_on_the_page(browser, service):
    assert "cannot be changed here" in put(browser, "voice").content.decode()
    work()
    assert service.received == []


def test_a_user_can_ask_for_a_call_as_a_test(browser, service, ann):
    send_test(ann, "voice")
    work()
    assert "Notifications reach you here." in service.received[-1].form["Twiml"]
