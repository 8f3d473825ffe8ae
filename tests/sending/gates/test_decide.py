"""The order of the gates. The first drop is final."""

from datetime import UTC, datetime

from notifications.events import NotificationEvent, NotificationPriority
from notifications.models import UserSettings
from notifications.outcomes import Deliver, Drop, Hold, Reason
from notifications.sending.gates import (
    GATES,
    RECHECKED_GATES,
    Facts,
    Person,
    address,
    decide,
    duplicate,
    mutes,
    preferences,
    recipient,
    suppression,
)
from notifications.sending.gates.hours import digest, quiet_hours
from tests.factories import UserFactory

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
OPTED_OUT = UserSettings(channels={"email": False})


def facts(*, priority=NotificationPriority.LOW, is_member=True, settings=None, **fields):
    event = NotificationEvent("door_opened", priority, ["email"])
    person = Person("u:1", UserFactory.build(**fields), is_member=is_member, settings=settings)
    return Facts(event, "email", "email", person, person.user.email, now=NOON, wanted_at=NOON)


def test_recipient_comes_before_address_and_address_before_preferences():
    assert list(GATES) == [recipient, address, suppression, preferences, mutes, duplicate, quiet_hours, digest]
    assert decide(facts(is_member=False, settings=OPTED_OUT, email="")).reason is Reason.NOT_MEMBER
    assert decide(facts(settings=OPTED_OUT, email="")).reason is Reason.NO_ADDRESS
    assert decide(facts(settings=OPTED_OUT)).reason is Reason.PREFERENCE


def test_a_recipient_who_passes_every_gate_gets_the_delivery():
    assert decide(facts()) == Deliver()


def test_critical_events_bypass_preferences_but_neither_membership_nor_inactivity():
    critical = {"priority": NotificationPriority.CRITICAL, "settings": OPTED_OUT}
    assert decide(facts(**critical)) == Deliver()
    assert decide(facts(**critical, is_member=False)).reason is Reason.NOT_MEMBER
    assert decide(facts(**critical, is_active=False)).reason is Reason.INACTIVE


def test_the_worker_rechecks_all_gates_but_address_duplicate_and_digest():
    assert list(RECHECKED_GATES) == [recipient, suppression, preferences, mutes, quiet_hours]
    assert decide(facts(email=""), RECHECKED_GATES) == Deliver()


def test_the_first_drop_is_final_and_the_last_hold_applies():
    first, last = (Hold(datetime(2026, 1, day, tzinfo=UTC), Reason.SCHEDULED) for day in (2, 1))
    gates = [lambda facts: first, lambda facts: last, lambda facts: Deliver()]
    assert decide(facts(), gates) == last
    assert decide(facts(), [*gates, lambda facts: Drop(Reason.EXPIRED)]) == Drop(Reason.EXPIRED)
