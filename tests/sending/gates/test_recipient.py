"""The recipient gate: active members and addresses pass."""

from datetime import UTC, datetime

import pytest

from notifications.events import NotificationEvent, NotificationPriority
from notifications.outcomes import Deliver, Drop, Reason
from notifications.recipients import Address
from notifications.sending.gates import Facts, Person, recipient
from tests.factories import UserFactory

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def answer(person, priority=NotificationPriority.MEDIUM):
    event = NotificationEvent("door_opened", priority, ["email"])
    return recipient(Facts(event, "email", "email", person, now=NOON, wanted_at=NOON))


def user(**fields):
    return UserFactory.build(**fields)


@pytest.mark.parametrize("priority", NotificationPriority)
class TestForEveryPriority:
    def test_an_active_member_passes(self, priority):
        assert answer(Person("u:1", user(), is_member=True), priority) == Deliver()

    def test_a_user_who_is_not_a_member_is_dropped(self, priority):
        assert answer(Person("u:1", user()), priority).reason is Reason.NOT_MEMBER

    def test_an_inactive_member_is_dropped_as_inactive(self, priority):
        assert answer(Person("u:1", user(is_active=False), is_member=True), priority) == Drop(Reason.INACTIVE)

    def test_an_inactive_stranger_is_dropped_as_inactive(self, priority):
        assert answer(Person("u:1", user(is_active=False)), priority) == Drop(Reason.INACTIVE)

    def test_a_deleted_user_is_dropped(self, priority):
        assert answer(Person("u:1"), priority) == Drop(Reason.UNKNOWN_USER)

    def test_a_bare_address_passes(self, priority):
        assert answer(Person("a:x", bare_address=Address(email="ann@example.com")), priority) == Deliver()
