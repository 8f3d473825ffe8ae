"""The checks for deployment: emails have a link to unsubscribe, and it works."""

import pytest

from notifications import checks
from notifications.events import NOTIFICATION_EVENTS
from notifications.preferences import DatabasePreferenceSource
from notifications.testing import temporary_events

urlpatterns = []
SITE = {"BASE_URL": "https://shop.example.com", "OPERATORS": "role:Operators", "ALARM": {"HOOK": ["true"]}}


class Reading:
    def load(self, cluster, user_ids):
        return {}


class Writing(Reading):
    def set_wanted(self, cluster, user, scope, name, channel, wanted):
        raise NotImplementedError


class OtherSettings(DatabasePreferenceSource):
    def settings_of(self, cluster, user_ids):
        return {}


class OtherRoles(DatabasePreferenceSource):
    def shared_by(self, cluster, user_ids):
        return {}


def found(settings, **changes):
    settings.NOTIFICATIONS = {**SITE, **changes}
    return [(message.id, message.msg) for message in checks.run_deployment_checks(None) if message.hint]


def test_a_site_with_a_link_is_in_order(settings):
    assert found(settings) == found(settings, BASE_URL="", THEME={"base_url": "https://x.example"}) == []
    assert found(settings, BASE_URL="", THEME_OF="tests.unsubscribe.test_links.theme_of") == []


@pytest.mark.parametrize("base_url", ["", "http://shop.example.com"])
def test_a_base_url_without_https_is_reported(settings, base_url):
    [(identifier, text)] = found(settings, BASE_URL=base_url)
    assert identifier == "klaxon.W011"
    assert text == f"Emails have no link to unsubscribe with one click: BASE_URL is {base_url!r}."


def test_missing_urls_are_reported(settings):
    settings.ROOT_URLCONF = __name__
    [(identifier, text)] = found(settings)
    assert identifier == "klaxon.W011"
    assert "notifications.urls" in text


@pytest.mark.parametrize(
    ("name", "is_reported"), [("Reading", True), ("OtherSettings", True), ("Writing", False), ("OtherRoles", False)]
)
def test_preferences_that_cannot_be_changed_are_reported(settings, name, is_reported):
    identifiers = [identifier for identifier, _ in found(settings, PREFERENCES=f"{__name__}.{name}")]
    assert identifiers == ["klaxon.W012"] * is_reported


def test_a_site_without_optional_emails_needs_no_link(settings):
    assert found(settings, BASE_URL="", CHANNELS={"email": {"ENABLED": False}}) == []
    with temporary_events():
        NOTIFICATION_EVENTS.clear()
        assert found(settings, BASE_URL="") == []


def test_invalid_settings_are_left_to_the_other_checks(settings):
    assert found(settings, BASE_URL=7) == []
