"""The gate for quiet hours and delivery windows."""

from datetime import UTC, datetime, time, timedelta

import pytest

from notifications.core.rules import describe_rule
from notifications.events import NotificationEvent, NotificationPriority
from notifications.models import UserSettings
from notifications.outcomes import Deliver, Hold, Reason
from notifications.recipients import Address
from notifications.sending.gates import Facts, Person
from notifications.sending.gates.hours import quiet_hours
from tests.factories import UserFactory

NIGHT = {"quiet_from": time(22), "quiet_until": time(7), "time_zone": "Europe/Berlin"}
MORNING = {"delivery_windows": {"email": [["08:00", "12:00"]]}, "time_zone": "Europe/Berlin"}
MIDNIGHT = datetime(2026, 11, 20, 23, tzinfo=UTC)
SEVEN, EIGHT = datetime(2026, 11, 21, 6, tzinfo=UTC), datetime(2026, 11, 21, 7, tzinfo=UTC)


def answer(settings=None, now=MIDNIGHT, wanted_at=None, kind="email", person=None, priority="MEDIUM", **options):
    event = NotificationEvent("door_opened", NotificationPriority[priority], ["email"], **options)
    person = person or Person(
        "u:1", UserFactory.build(), settings=None if settings is None else UserSettings(**settings)
    )
    return quiet_hours(Facts(event, "email", kind, person, now=now, wanted_at=wanted_at or now))


def summarize(held):
    return held.until, held.reason, describe_rule(held.rule)


def test_quiet_hours_hold_until_they_end_and_name_themselves():
    rule = "quiet hours of this user: 22:00–07:00 Europe/Berlin"
    assert summarize(answer(NIGHT)) == (SEVEN, Reason.QUIET_HOURS, rule)
    assert answer(NIGHT, SEVEN) == Deliver()


def test_windows_hold_until_they_open_and_name_themselves():
    rule = "delivery windows of this user for email: 08:00–12:00 Europe/Berlin"
    assert summarize(answer(MORNING)) == (EIGHT, Reason.DELIVERY_WINDOW, rule)
    assert answer(MORNING, EIGHT) == Deliver()


def test_both_must_be_open():
    assert answer({**MORNING, **NIGHT}).until == EIGHT


@pytest.mark.parametrize("windows", [{"sms": [["08:00", "12:00"]]}, {"email": []}, {}])
def test_a_channel_without_windows_is_always_open(windows):
    assert answer({"delivery_windows": windows}) == Deliver()


@pytest.mark.parametrize("key", ["EMAIL", " email", "*"])
def test_a_channel_has_one_spelling(key):
    assert isinstance(answer({"delivery_windows": {key: [["08:00", "12:00"]]}}), Hold)


@pytest.mark.parametrize("settings", [NIGHT, MORNING])
def test_critical_or_exempt_events_never_wait(settings):
    assert answer(settings, priority="CRITICAL") == Deliver()
    assert answer(settings, priority="LOW", ignores_quiet_hours=True) == Deliver()
    assert isinstance(answer(settings, priority="HIGH"), Hold)


def test_a_channel_without_addresses_never_waits():
    assert answer(NIGHT, kind="") == Deliver()


@pytest.mark.parametrize(
    "settings",
    [
        None,
        {},
        {"quiet_from": time(22)},
        {"quiet_until": time(7)},
        {"quiet_from": time(22), "quiet_until": time(22)},
    ],
)
def test_quiet_hours_need_a_beginning_and_a_different_end(settings):
    assert answer(settings) == Deliver()


class TestSiteQuietHours:
    @pytest.fixture(autouse=True)
    def quiet_site(self, settings):
        settings.NOTIFICATIONS = {"QUIET_HOURS": ["22:00", "07:00"]}
        settings.TIME_ZONE = "Europe/Berlin"

    @pytest.mark.parametrize("chosen", [None, {}])
    def test_they_apply_to_users_who_have_chosen_none(self, chosen):
        rule = "quiet hours of this site: 22:00–07:00 Europe/Berlin"
        assert summarize(answer(chosen)) == (SEVEN, Reason.QUIET_HOURS, rule)

    def test_the_choice_of_a_user_replaces_them(self):
        assert answer({"quiet_from": time(1), "quiet_until": time(2)}) == Deliver()
        assert answer({"quiet_from": time(0), "quiet_until": time(0)}) == Deliver()

    def test_a_bare_address_has_no_hours(self):
        address = Address(email="x@example.com")
        assert answer(person=Person(address.key, bare_address=address)) == Deliver()


def test_a_broken_zone_is_replaced_by_the_sites(settings, caplog):
    settings.TIME_ZONE = "Europe/Berlin"
    assert answer({**NIGHT, "time_zone": "Mars/Olympus"}).until == SEVEN
    assert "Mars/Olympus" in caplog.text


@pytest.mark.parametrize("windows", [{"email": "mornings"}, {"email": [["8", "9"]]}, {"email": {"a": 1}}])
def test_malformed_windows_hold_nothing(windows, caplog):
    assert answer({"delivery_windows": windows}) == Deliver()
    assert "windows" in caplog.text


def test_a_call_with_send_at_is_decided_for_that_time():
    noon = MIDNIGHT - timedelta(hours=12)
    assert answer(NIGHT, noon, wanted_at=MIDNIGHT).until == SEVEN
    assert answer(NIGHT, MIDNIGHT, wanted_at=noon + timedelta(days=1)) == Deliver()


def test_windows_that_never_open_hold_for_eight_days_at_most():
    never = {**NIGHT, "delivery_windows": {"email": [["23:00", "05:00"]]}}
    held = answer(never)
    assert held.until == datetime(2026, 11, 29, 6, tzinfo=UTC)
    assert answer(never, held.until, wanted_at=MIDNIGHT) == Deliver()
    assert isinstance(answer(never, held.until - timedelta(seconds=1), wanted_at=MIDNIGHT), Hold)
