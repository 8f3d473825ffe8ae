"""Calls with an unknown event or a wrong context, where ``ON_BAD_CALL`` is ``"log"``."""

from unittest.mock import ANY

import pytest

from notifications.events import NotificationPriority
from notifications.exceptions import InvalidOption, InvalidRecipient
from notifications.manager import NotificationManager
from notifications.models import Notification
from tests.sending.calls import send


class TestBadCallsThatAreLogged:
    @pytest.fixture(autouse=True)
    def logged(self, settings, caplog):
        settings.NOTIFICATIONS = {"ON_BAD_CALL": "log", "CONTEXT_BYTES": 1000}
        self.log = caplog

    def errors(self):
        return [record.getMessage() for record in self.log.records if record.levelname == "ERROR"]

    @pytest.mark.parametrize("context", [None, {"total": 5}])
    def test_an_unknown_event_sends_nothing_and_is_an_error_in_the_log(self, user, context):
        result = NotificationManager.send("no_such_event", [user], None, context)
        assert (bool(result), result.notification_id, result.queued) == (False, None, 0)
        assert "No notification event is registered as 'no_such_event'" in result.problems[0]
        assert self.errors() == [f"Nothing is sent. {result.problems[0]}"]
        assert not Notification.objects.exists()

    def test_a_context_that_is_not_a_mapping_sends_nothing(self, user, event_with):
        result = send(user, event_with(context={"total": int}), "five")
        assert (bool(result), result.notification_id) == (False, None)
        assert "It must be a mapping, not five." in self.errors()[0]

    @pytest.mark.parametrize(
        ("given", "kept", "problem"),
        [
            ({"note": "x"}, {"note": "x"}, "'total' is missing."),
            ({"total": 5, "colour": "red"}, {"total": 5}, "'colour' is not declared (declared: note, total)."),
            ({"total": "5"}, {"total": "5"}, "'total' is the text '5', not int."),
            ({"total": 5, "note": "\0"}, {"total": 5, "note": "\N{REPLACEMENT CHARACTER}"}, "contains a NUL character"),
            ({"total": 5, "note": "x" * 2000}, {"total": 5, "note": ANY}, "'note' was cut after"),
        ],
        ids=["missing", "undeclared", "mistyped", "unstorable", "too large"],
    )
    def test_a_wrong_context_is_sent_with_its_valid_values(self, user, event_with, given, kept, problem):
        result = send(user, event_with(context={"total": int, "note": str | None}), given)
        assert (bool(result), result.queued) == (False, 1)
        assert Notification.objects.get(pk=result.notification_id).context == kept
        assert problem in result.problems[-1]
        assert len(self.errors()) == len(result.problems)
        assert problem in self.errors()[-1]

    def test_the_result_of_a_critical_event_is_false_too(self, user, event_with):
        critical = event_with(priority=NotificationPriority.CRITICAL, context={"total": int})
        first, again = (send(user, critical, {}, idempotency_key="one") for _ in range(2))
        assert (bool(first), first.queued) == (bool(again), again.queued) == (False, 1)

    def test_a_correct_call_logs_nothing(self, user, event_with):
        assert send(user, event_with(context={"total": int}), {"total": 5})
        assert not self.errors()

    def test_other_errors_are_raised(self, user, event_with):
        with pytest.raises(InvalidRecipient):
            send("nobody", event_with())
        with pytest.raises(InvalidOption):
            send(user, event_with(), level="loud")
