"""The checks of SMS and voice."""

from enum import Enum

import pytest
from django.core.checks import run_checks

from notifications.checks.phone import check_calls, check_phone_callbacks
from notifications.events import NOTIFICATION_EVENTS, NotificationEvent, NotificationPriority

pytestmark = [pytest.mark.needs("requests"), pytest.mark.one_database, pytest.mark.django_db]


class Late(Enum):
    TRAIN = "train_late"


def messages(check=check_phone_callbacks):
    return [message.msg for message in check()]


def test_a_site_with_an_address_and_urls_has_no_faults(site):
    assert messages() == messages(check_calls) == []
    assert [message for message in run_checks(app_configs=None) if message.is_serious()] == []


def test_the_address_of_the_site_must_be_set(site):
    site.NOTIFICATIONS = {**site.NOTIFICATIONS, "BASE_URL": ""}
    assert messages() == [
        "Twilio cannot report what happens to messages, because the site's address is not set: sms, voice."
    ]


@pytest.mark.urls("tests.tracking.no_urls")
def test_the_urls_must_be_included(site):
    [message] = messages()
    assert message.endswith("because the URLs are missing: gateway, sms, voice.")


def test_channels_without_callbacks_need_neither(options, site):
    options["sms"]["callbacks"] = options["voice"]["callbacks"] = False
    del options["gateway"]["callback"]
    site.NOTIFICATIONS = {**site.NOTIFICATIONS, "BASE_URL": ""}
    assert messages() == []


def test_an_event_that_calls_people_should_be_critical(site):
    NOTIFICATION_EVENTS[Late.TRAIN] = NotificationEvent("train_late", NotificationPriority.LOW, ["voice"], context={})
    [message] = messages(check_calls)
    assert message == "The event 'train_late' calls people by the channel 'voice', but it is not CRITICAL."


def test_a_wrong_option_is_reported_without_secrets(options, site):
    options["sms"]["sender"] = ""
    found = [message for message in run_checks(app_configs=None) if message.id == "klaxon.E006"]
    assert len(found) == 1
    assert options["sms"]["auth_token"] not in str(found)
