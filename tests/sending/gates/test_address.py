"""The address gate."""

from datetime import UTC, datetime

import pytest

from notifications.core.rules import describe_rule
from notifications.events import NotificationEvent, NotificationPriority
from notifications.models import UserSettings
from notifications.outcomes import Deliver, Drop, Reason
from notifications.recipients import Address
from notifications.sending.gates import Facts, Person, address
from tests.factories import UserFactory

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
EVENT = NotificationEvent("door_opened", NotificationPriority.MEDIUM, ["email"])


def facts(person, channel="email", kind="email"):
    own = person.choose_address(channel, kind).address
    return Facts(EVENT, channel, kind, person, own, now=NOON, wanted_at=NOON)


def person(settings=None, **fields):
    return Person("u:7", UserFactory.build(**fields), is_member=True, settings=settings)


def test_a_well_formed_address_passes():
    assert address(facts(person(email="ann@example.com"))) == Deliver()


def test_the_reason_for_no_address_names_the_kind():
    answer = address(facts(person(email="")))
    assert (answer.reason, describe_rule(answer.rule)) == (Reason.NO_ADDRESS, "no email address")


@pytest.mark.parametrize("wrong", ["ann", "ann@example.com\nBcc: bob@example.com", "ann@example.com, bob@example.com"])
def test_a_malformed_address_is_dropped(wrong):
    assert address(facts(person(email=wrong))) == Drop(Reason.INVALID_ADDRESS)


def test_a_channel_that_sends_to_nothing_needs_no_address():
    assert address(facts(person(email=""), "log", "")) == Deliver()


def test_a_channel_for_accounts_reaches_every_user_but_no_bare_address():
    assert address(facts(person(email=""), "app", "user")) == Deliver()
    bare = Person("a:x", bare_address=Address(email="ann@example.com"))
    assert address(facts(bare, "app", "user")).reason is Reason.NO_ADDRESS


def test_the_address_chosen_for_a_channel_wins_over_that_of_the_account():
    chosen = UserSettings(addresses={"EMAIL": "other@example.com"})
    assert facts(person(chosen, email="ann@example.com")).address == "other@example.com"


def test_the_address_of_the_account_replaces_a_malformed_one():
    chosen = UserSettings(addresses={"email": "ann@example,com"})
    assert facts(person(chosen, email="ann@example.com")).address == "ann@example.com"
    assert address(facts(person(chosen, email=""))) == Drop(Reason.INVALID_ADDRESS)


@pytest.mark.parametrize("nothing", ["", None])
def test_a_removed_chosen_address_leaves_that_of_the_account(nothing):
    chosen = UserSettings(addresses={"email": nothing})
    assert facts(person(chosen, email="ann@example.com")).address == "ann@example.com"


def test_address_fields_names_the_field_for_each_kind(settings):
    settings.NOTIFICATIONS = {"ADDRESS_FIELDS": {"phone": "last_name", "email": "first_name"}}
    someone = person(email="ann@example.com", first_name="work@example.com", last_name="+4915112345678")
    assert facts(someone, "sms", "phone").address == "+4915112345678"
    assert facts(someone).address == "work@example.com"


def test_a_kind_without_a_field_has_no_address():
    answer = address(facts(person(), "sms", "phone"))
    assert (answer.reason, describe_rule(answer.rule)) == (Reason.NO_ADDRESS, "no phone address")


def test_an_address_is_used_for_its_kind():
    bare = Person("a:x", bare_address=Address(phone="+4915112345678"))
    assert address(facts(bare, "sms", "phone")) == Deliver()
    assert address(facts(bare)).reason is Reason.NO_ADDRESS
