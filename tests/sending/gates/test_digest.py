"""The digest gate: deliveries wait for the user's digest or the batch of their event, unless they are urgent."""

from datetime import UTC, datetime, time, timedelta

import pytest

from notifications.core.rules import describe_rule
from notifications.events import NotificationEvent, NotificationPriority
from notifications.models import UserSettings
from notifications.outcomes import Deliver, Hold, Reason
from notifications.recipients import Address
from notifications.sending.gates import Facts, Person, decide
from notifications.sending.gates.hours import digest
from tests.factories import UserFactory

# A Friday, 11:00 in Berlin.
NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)
DAILY = {"digest": "daily", "digest_hour": 8, "time_zone": "Europe/Berlin"}
WEEKLY = {**DAILY, "digest": "weekly", "digest_day": 2}
TOMORROW_AT_EIGHT = datetime(2026, 11, 21, 7, tzinfo=UTC)
NEVER_QUIET = {"quiet_from": time(0), "quiet_until": time(0)}


def facts(given=None, now=NOW, channel="email", priority="MEDIUM", kind="email", details=None, **options):
    event = NotificationEvent("door_opened", NotificationPriority[priority], [channel], **options)
    user = UserFactory.build(email="resident@example.com")
    person = Person("u:1", user, is_member=True, settings=None if given is None else UserSettings(**given))
    return Facts(event, channel, kind, person, user.email, now=now, wanted_at=now, **details or {})


def summarize(held):
    return held.until, held.reason, describe_rule(held.rule)


def test_a_daily_digest_is_made_at_the_hour_of_the_user():
    rule = "daily digest of this user: 08:00 Europe/Berlin"
    assert summarize(digest(facts(DAILY))) == (TOMORROW_AT_EIGHT, Reason.DIGEST, rule)
    assert digest(facts(DAILY, TOMORROW_AT_EIGHT)).until == TOMORROW_AT_EIGHT


def test_a_weekly_digest_is_made_on_the_day_of_the_user():
    rule = "weekly digest of this user: 08:00 on wed Europe/Berlin"
    assert summarize(digest(facts(WEEKLY))) == (datetime(2026, 11, 25, 7, tzinfo=UTC), Reason.DIGEST, rule)


def test_a_user_without_a_digest_does_not_wait():
    assert digest(facts({"digest": "none"})) == digest(facts()) == Deliver()


@pytest.mark.parametrize("word", [None, "", "hourly", "Daily"])
def test_unknown_digest_values_are_ignored(word):
    assert digest(facts({**DAILY, "digest": word})) == Deliver()


def test_a_digest_waits_for_the_hours_of_its_user_even_if_its_event_does_not():
    night = {"quiet_from": time(22), "quiet_until": time(9)}
    held = digest(facts({**DAILY, **night}, ignores_quiet_hours=True))
    assert held.until == datetime(2026, 11, 21, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("priority", "options", "waits"),
    [
        ("CRITICAL", {}, False),
        ("HIGH", {}, False),
        ("HIGH", {"digest": True}, True),
        ("LOW", {}, True),
        ("LOW", {"digest": False}, False),
        ("MEDIUM", {"on_unknown": "hold"}, False),
        ("MEDIUM", {"mandatory": True}, False),
    ],
)
def test_the_event_decides_whether_it_may_wait_for_a_digest(priority, options, waits):
    assert isinstance(digest(facts(DAILY, priority=priority, **options)), Hold) is waits


def test_digests_are_for_the_channels_that_the_site_names(settings):
    assert digest(facts(DAILY, channel="app", kind="user")) == Deliver()
    settings.NOTIFICATIONS = {"DIGEST_CHANNELS": ["EMAIL", "app"]}
    assert isinstance(digest(facts(DAILY, channel="app", kind="user")), Hold)


@pytest.mark.parametrize(
    ("window", "priority", "minutes"),
    [(300, "HIGH", 5), (3600, "LOW", 60), ("default", "MEDIUM", 15), ("default", "LOW", 60)],
)
def test_a_batch_waits_for_the_window_of_its_event(window, priority, minutes):
    held = digest(facts(batch_window=window, priority=priority))
    rule = f"event: batch window of {60 * minutes} seconds"
    assert summarize(held) == (NOW + timedelta(minutes=minutes), Reason.BATCH, rule)


def test_a_batch_is_for_bare_addresses_too_but_not_for_a_channel_without_addresses():
    bare = Facts(
        facts(batch_window=300).event,
        "email",
        "email",
        Person("a:1", bare_address=Address(email="guest@example.com")),
        now=NOW,
        wanted_at=NOW,
    )
    assert isinstance(digest(bare), Hold)
    assert digest(facts(batch_window=300, kind="")) == Deliver()


@pytest.mark.parametrize(("scheduled", "waits"), [(False, False), (True, True)])
def test_a_call_with_send_at_waits_for_a_batch_only_if_its_event_declares_it(scheduled, waits):
    own = facts(batch_window=300, batch_scheduled=scheduled, details={"has_own_time": True})
    assert isinstance(digest(own), Hold) is waits


def test_a_call_with_send_at_waits_for_a_digest():
    assert digest(facts(DAILY, batch_window=300, details={"has_own_time": True})).reason == Reason.DIGEST


def test_critical_or_expiring_deliveries_do_not_wait():
    assert digest(facts(DAILY, details={"priority": NotificationPriority.CRITICAL})) == Deliver()
    assert digest(facts(DAILY, details={"priority": NotificationPriority.HIGH})) == Deliver()
    assert isinstance(digest(facts(DAILY, digest=True, details={"priority": NotificationPriority.HIGH})), Hold)
    critical_batch = facts(batch_window=300, details={"priority": NotificationPriority.CRITICAL})
    assert digest(critical_batch) == Deliver()
    assert digest(facts(DAILY, details={"expires_at": TOMORROW_AT_EIGHT})) == Deliver()
    assert isinstance(digest(facts(DAILY, details={"expires_at": TOMORROW_AT_EIGHT + timedelta(seconds=1)})), Hold)


def test_a_digest_takes_precedence_over_a_batch():
    assert digest(facts(DAILY, batch_window=300)).reason == Reason.DIGEST


def test_digest_and_batch_wait_for_the_hours_of_the_user():
    night = {"quiet_from": time(22), "quiet_until": time(9)}
    assert decide(facts({**DAILY, **night})).until == datetime(2026, 11, 21, 8, tzinfo=UTC)
    late = datetime(2026, 11, 20, 20, 58, tzinfo=UTC)
    assert decide(facts(NEVER_QUIET, late, batch_window=300)).until == late + timedelta(minutes=5)
    held = decide(facts({**night, "time_zone": "Europe/Berlin"}, late, batch_window=300))
    assert (held.until, held.reason) == (datetime(2026, 11, 21, 8, tzinfo=UTC), Reason.BATCH)


@pytest.mark.parametrize("window", [299, 3601, -1, True, None, "15"])
def test_an_invalid_batch_window_is_an_error(window):
    with pytest.raises(ValueError, match="from 300 to 3600"):
        facts(batch_window=window)


@pytest.mark.parametrize("options", [{"digest": True}, {"batch_window": 300}])
def test_critical_events_can_have_neither(options):
    with pytest.raises(ValueError, match="cannot wait for a digest"):
        facts(priority="CRITICAL", **options)


def test_batch_scheduled_must_be_true_or_false_and_needs_a_window():
    with pytest.raises(TypeError, match="batch_scheduled of event 'door_opened' must be True or False"):
        facts(batch_window=300, batch_scheduled="yes")
    with pytest.raises(ValueError, match="has no effect without a batch_window"):
        facts(batch_scheduled=True)


def test_digest_must_be_true_or_false():
    with pytest.raises(ValueError, match="must be True, False or None"):
        facts(digest="daily")


@pytest.mark.parametrize("choice", [{"events": {"daily_digest": {"email": False}}}, {"categories": {"digest": False}}])
def test_what_would_wait_for_a_digest_that_the_user_turned_off_is_dropped(choice):
    drop = digest(facts({**DAILY, **choice}))
    assert (drop.reason, drop.rule.owner) == (Reason.PREFERENCE, "user")
    assert digest(facts({**DAILY, **choice}, priority="HIGH")) == Deliver()
    assert digest(facts({**DAILY, **choice}, digest=False)) == Deliver()
