"""The preference gate: opt-outs apply, except to CRITICAL events."""

from datetime import UTC, datetime
from enum import Enum

import pytest

from notifications.core.rules import describe_rule
from notifications.events import NotificationEvent, NotificationPriority
from notifications.models import UserSettings
from notifications.outcomes import Deliver, Drop, Reason
from notifications.sending.gates import Facts, Person, preferences
from notifications.testing import temporary_events
from tests.factories import UserFactory

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def answer(settings, *, priority=NotificationPriority.MEDIUM, name="door_opened", category="doors", **declared):
    event = NotificationEvent(name, priority, ["email"], category=category, **declared)
    person = Person("u:1", UserFactory.build(), settings=settings)
    return preferences(Facts(event, "email", "email", person, now=NOON, wanted_at=NOON))


OPT_OUTS = [
    {"channels": {"email": False}},
    {"channels": {"EMAIL": False}},
    {"channels": {" Email\n": False}},
    {"events": {"door_opened": {"email": False}}},
    {"events": {"DOOR_OPENED": {"EMAIL": False}}},
    {"events": {"Door_Opened ": False}},
    {"categories": {"doors": {"email": False}}},
    {"categories": {"DOORS": {" EMAIL": False}}},
]


@pytest.mark.parametrize("stored", OPT_OUTS)
def test_an_opt_out_applies_in_any_stored_spelling(stored):
    drop = answer(UserSettings(**stored))
    assert drop.reason is Reason.PREFERENCE
    assert drop.rule.owner == "user"


@pytest.mark.parametrize("stored", OPT_OUTS)
def test_critical_events_ignore_opt_outs(stored):
    assert answer(UserSettings(**stored), priority=NotificationPriority.CRITICAL) == Deliver()


@pytest.mark.parametrize("stored", OPT_OUTS)
def test_mandatory_events_ignore_opt_outs(stored):
    assert answer(UserSettings(**stored), mandatory=True) == Deliver()


@pytest.mark.parametrize("name", ["DOOR_OPENED", "Door_Opened"])
def test_an_opt_out_applies_in_any_spelling_of_the_event(name):
    settings = UserSettings()
    with temporary_events() as events:
        events[Enum("Door", {"OPENED": name}).OPENED] = NotificationEvent(name, NotificationPriority.MEDIUM, ["email"])
        settings.set_notification_preference(name, "email", False)
    assert isinstance(answer(settings, name=name), Drop)


def test_without_settings_the_defaults_apply():
    assert answer(None) == Deliver()
    assert answer(UserSettings()) == Deliver()


def test_the_answer_names_the_rule():
    rule = answer(UserSettings(channels={"email": False})).rule
    assert describe_rule(rule) == "user: channel email is off"
    rule = answer(UserSettings(categories={"doors": {"email": False}})).rule
    assert describe_rule(rule) == "user: category doors by email is off"
