"""The check of tracked events."""

import pytest

from notifications.checks.tracking import check_tracking
from tests.tracking.tracked import tracked_newsletter


def find_messages():
    return [message.msg.partition(":")[0] for message in check_tracking() if message.id == "klaxon.E024"]


def test_a_site_with_an_address_and_urls_can_track():
    with tracked_newsletter():
        assert find_messages() == []


def test_an_event_that_tracks_nothing_needs_neither(settings):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "BASE_URL": ""}
    assert find_messages() == []


def test_the_address_of_the_site_must_be_set(settings):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "BASE_URL": ""}
    with tracked_newsletter():
        assert find_messages() == ["Emails of these events cannot be tracked, because the site's address is not set"]


@pytest.mark.urls("tests.tracking.no_urls")
def test_the_urls_must_be_included():
    with tracked_newsletter():
        assert find_messages() == ["Emails of these events cannot be tracked, because the URLs are missing"]


def test_a_site_without_urls_cannot_track(settings):
    del settings.ROOT_URLCONF
    with tracked_newsletter():
        assert find_messages() == ["Emails of these events cannot be tracked, because the URLs are missing"]
