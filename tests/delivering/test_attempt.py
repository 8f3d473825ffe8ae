"""Attempts: the outcomes of the answers of providers and of failures to render."""

import sqlite3
from datetime import timedelta

import psycopg
import pytest
from django.core import mail
from django.db import DataError, OperationalError, connection

from notifications.core import clock
from notifications.delivering import attempt
from notifications.delivering.attempt import GroupHandover
from notifications.delivering.dispatcher import Dispatcher
from notifications.events import NotificationEvent, NotificationPriority
from notifications.manager import NotificationManager
from notifications.models import Delivery, InboxItem, NotificationLog
from notifications.outcomes import Receipt, Verdict
from notifications.recipients import Address
from notifications.testing import temporary_events, travelling
from tests.delivering.scripted import dispatch, get_delivery, refuse_orders
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db


def test_email_and_inbox_item_arrive_and_every_attempt_is_logged():
    user = UserFactory()
    NotificationManager.send(ShopEvents.ORDER_SHIPPED, user, None, {"order_number": "7"})
    assert dispatch() == {"sent": 2}
    [message] = mail.outbox
    assert (message.subject, message.to) == ("Order 7 is on its way", [user.email])
    assert "<b>7</b>" in message.alternatives[0].content
    assert InboxItem.objects.get().title == "Order 7 is on its way"
    rows = NotificationLog.objects.order_by("channel")
    assert [(row.channel, row.success, row.attempt, row.kind) for row in rows] == [
        ("app", True, 1, "attempt"),
        ("email", True, 1, "attempt"),
    ]
    assert rows[1].address == f"{user.email[0]}***@example.com"
    assert rows[1].context_data == {"order_number": "7"}


def test_a_temporary_failure_is_retried_after_one_five_and_fifteen_minutes_and_then_dead(scripted_channel):
    scripted_channel.answers = [{"verdict": Verdict.TEMPORARY, "error": "busy"}] * 4
    with travelling() as clock:
        refuse_orders()
        for attempt, minutes in enumerate((1, 5, 15), start=1):
            assert dispatch() == {"retry": 1}
            assert (get_delivery().attempts, get_delivery().due_at) == (attempt, clock() + timedelta(minutes=minutes))
            assert dispatch() == {}
            clock.forward(minutes=minutes)
        assert dispatch() == {"dead": 1}
    assert get_delivery().reason == "temporary"
    assert NotificationLog.objects.filter(success=False, error_message="busy").count() == 4
    assert len(scripted_channel.given) == 4


def test_a_provider_can_request_a_longer_wait(scripted_channel):
    scripted_channel.answers = [{"verdict": Verdict.TEMPORARY, "retry_after": 3600}]
    with travelling() as clock:
        refuse_orders()
        dispatch()
        assert get_delivery().due_at == clock() + timedelta(hours=1)


def test_a_permanent_failure_is_dead_immediately(scripted_channel):
    scripted_channel.answers = [{"verdict": Verdict.PERMANENT, "error": "no such person ann@example.com"}]
    refuse_orders()
    assert dispatch() == {"dead": 1}
    [row] = NotificationLog.objects.all()
    assert (row.reason, row.success) == ("permanent", False)
    assert "ann@" not in row.error_message


def test_an_event_can_have_an_empty_retry_schedule(scripted_channel):
    scripted_channel.answers = [Verdict.TEMPORARY]
    with temporary_events() as events:
        events[ShopEvents.ORDER_REFUSED] = NotificationEvent(
            "order_refused", NotificationPriority.HIGH, ["log"], retry_delays=()
        )
        refuse_orders()
        assert dispatch() == {"dead": 1}


def test_lost_contact_is_retried_in_the_same_epoch(scripted_channel):
    scripted_channel.answers = [Verdict.UNKNOWN]
    with travelling() as clock:
        refuse_orders()
        assert dispatch() == {"retry": 1}
        assert get_delivery().reason == "lost_contact"
        clock.forward(minutes=1)
        assert dispatch() == {"sent": 1}
    assert scripted_channel.given[0]["key"] == scripted_channel.given[1]["key"]


def test_an_event_with_on_unknown_hold_waits_for_a_person(scripted_channel):
    scripted_channel.answers = [Verdict.UNKNOWN]
    with temporary_events() as events:
        events[ShopEvents.ORDER_REFUSED] = NotificationEvent(
            "order_refused", NotificationPriority.HIGH, ["log"], on_unknown="hold"
        )
        refuse_orders()
        assert dispatch() == {"unknown": 1}
        assert dispatch() == {}
        Delivery.objects.all().reopen(clock.now())
        assert dispatch() == {"sent": 1}
    assert get_delivery().epoch == 1


def test_an_exception_leaves_only_those_without_a_receipt_unknown(scripted_channel, caplog):
    scripted_channel.answers = [Verdict.ACCEPTED, ConnectionResetError("gone")]
    refuse_orders(3)
    assert dispatch() == {"sent": 1, "retry": 2}
    assert NotificationLog.objects.filter(error_message="ConnectionResetError: gone").count() == 2
    assert "in the middle of a group" in caplog.text


class Unprintable:
    def __str__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    ("given", "outcomes"),
    [
        ({"verdict": "accepted"}, {"sent": 2}),
        ({"verdict": "permanent"}, {"sent": 1, "dead": 1}),
        ({"verdict": "who knows"}, {"sent": 1, "retry": 1}),
        ({"verdict": None}, {"sent": 1, "retry": 1}),
        ({"retry_after": "30"}, {"sent": 1, "retry": 1}),
        ({"retry_after": "soon"}, {"sent": 1, "retry": 1}),
        ({"retry_after": float("nan")}, {"sent": 1, "retry": 1}),
        ({"blames": "network"}, {"sent": 1, "retry": 1}),
        ({"blames": 7, "suppress": None}, {"sent": 1, "retry": 1}),
        ({"error": Unprintable(), "code": 550, "provider_message_id": Unprintable()}, {"sent": 1, "retry": 1}),
    ],
)
def test_a_receipt_with_values_of_other_types_loses_no_other_receipt(given, outcomes, scripted_channel):
    scripted_channel.answers = [Verdict.ACCEPTED, {"verdict": Verdict.TEMPORARY, **given}]
    refuse_orders(2)
    assert dispatch() == outcomes
    assert len(scripted_channel.given) == 2
    assert NotificationLog.objects.count() == 2


def test_an_invalid_verdict_is_unknown_and_named_in_the_log(scripted_channel, caplog):
    scripted_channel.answers = [{"verdict": "who knows"}]
    refuse_orders()
    assert dispatch() == {"retry": 1}
    assert get_delivery().reason == "lost_contact"
    assert "A channel's receipt has who knows, which is not a Verdict." in caplog.text


def test_an_outcome_that_cannot_be_decided_loses_no_other_outcome(scripted_channel, monkeypatch, caplog):
    decide = attempt.decide_next_state

    def decide_accepted(attempted, *others):
        return decide(attempted, *others) if attempted.receipt.verdict is Verdict.ACCEPTED else 1 / 0

    monkeypatch.setattr(attempt, "decide_next_state", decide_accepted)
    scripted_channel.answers = [Verdict.TEMPORARY]
    refuse_orders(2)
    assert dispatch() == {"sent": 1}
    undecided = Delivery.objects.get(state="sending")
    assert f"The next state of delivery {undecided.pk} cannot be decided" in caplog.text


def test_a_receipt_before_an_interrupt_is_recorded(scripted_channel, monkeypatch):
    def send(self, messages):
        yield Receipt(messages[0], Verdict.ACCEPTED)
        raise KeyboardInterrupt

    monkeypatch.setattr(scripted_channel, "send", send)
    refuse_orders(2)
    with pytest.raises(KeyboardInterrupt):
        dispatch()
    assert sorted(Delivery.objects.values_list("state", flat=True)) == ["sending", "sent"]


def test_an_error_after_the_outcomes_are_written_is_not_an_outcome(scripted_channel, monkeypatch):
    monkeypatch.setattr(GroupHandover, "observe", lambda self: int("no number"))
    refuse_orders()
    with pytest.raises(ValueError, match="no number"):
        dispatch()
    assert get_delivery().state == "sent"
    assert NotificationLog.objects.get().success


def test_each_lost_contact_of_a_group_is_named_in_the_log_once(scripted_channel, caplog):
    scripted_channel.answers = [Verdict.ACCEPTED, ConnectionResetError("gone")]
    refuse_orders(3)
    dispatch()
    lost = Delivery.objects.filter(reason="lost_contact").values_list("pk", flat=True)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(lost) == 2
    assert sorted(warnings) == [
        f"Contact was lost while delivery {pk} was being sent, so it may have arrived. Its state is now retry."
        for pk in sorted(lost)
    ]


def test_a_delivery_that_cannot_be_rendered_is_dead_and_the_others_are_sent(settings, caplog):
    user = UserFactory()
    with temporary_events() as events:
        events[ShopEvents.ORDER_SHIPPED] = NotificationEvent(
            "order_shipped", NotificationPriority.MEDIUM, ["email", "app"], transforms={"email": lambda context: 1 / 0}
        )
        NotificationManager.send(ShopEvents.ORDER_SHIPPED, user, None, {"order_number": "7"})
        assert dispatch() == {"sent": 1, "dead": 1}
    [row] = NotificationLog.objects.filter(success=False)
    assert (row.reason, row.error_message) == ("rendering", "ZeroDivisionError: division by zero")
    assert Delivery.objects.get(channel="email").attempts == 0


def test_a_bare_address_gets_a_mail():
    NotificationManager.send(
        ShopEvents.ORDER_SHIPPED, Address(email="contact@example.com"), None, {"order_number": "7"}, channels=["email"]
    )
    assert dispatch() == {"sent": 1}
    assert mail.outbox[0].to == ["contact@example.com"]


def test_a_bare_address_on_a_channel_without_addresses_is_sent(scripted_channel):
    NotificationManager.send(ShopEvents.ORDER_REFUSED, [Address(email="a@example.com"), UserFactory()], None, {})
    assert dispatch() == {"sent": 2}


def send_with_poison(transform, channels=("app",)):
    """Send five valid deliveries on each channel, and one whose transform calls ``transform``."""
    users = UserFactory.create_batch(6)
    poison = users[2].username
    events = temporary_events()
    registry = events.__enter__()
    registry[ShopEvents.ORDER_SHIPPED] = NotificationEvent(
        "order_shipped",
        NotificationPriority.MEDIUM,
        list(channels),
        transforms=dict.fromkeys(channels, lambda context: transform() if context["order_number"] == poison else {}),
    )
    for user in users:
        NotificationManager.send(ShopEvents.ORDER_SHIPPED, user, None, {"order_number": user.username})
    return events


def test_text_that_cannot_be_stored_makes_only_its_own_delivery_dead(caplog):
    events = send_with_poison(lambda: {"order_number": "\ud800"})
    try:
        assert dispatch() == {"sent": 5, "dead": 1}
    finally:
        events.__exit__(None, None, None)
    assert Delivery.objects.get(state="dead").reason == "rendering"


@pytest.mark.parametrize("cause", [sqlite3.OperationalError("database is locked"), psycopg.errors.LockNotAvailable()])
def test_after_an_outage_while_rendering_nothing_is_dead_or_claimed(cause):
    if isinstance(cause, sqlite3.Error):
        cause.sqlite_errorcode = sqlite3.SQLITE_BUSY

    def locked():
        raise OperationalError("database is locked") from cause

    events, dispatcher = send_with_poison(locked), Dispatcher()
    try:
        with pytest.raises(OperationalError):
            dispatcher.run_until_idle()
        assert dispatcher.close() == 0
    finally:
        events.__exit__(None, None, None)
    assert set(Delivery.objects.values_list("state", "strikes", "attempts")) == {("ready", 0, 0)}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "statement", ["SELECT 1 FROM no_such_table", "SELEKT 1", "SELECT 1 WHERE 1 = no_such_function()"]
)
def test_a_statement_that_fails_while_rendering_makes_only_its_own_delivery_dead(statement, caplog):
    """Otherwise the delivery would stop every batch that contains it."""

    def fail():
        with connection.cursor() as cursor:
            cursor.execute(statement)

    events = send_with_poison(fail)
    try:
        assert dispatch() == {"sent": 5, "dead": 1}
    finally:
        events.__exit__(None, None, None)
    assert Delivery.objects.get(state="dead").reason == "rendering"


def test_a_row_that_the_database_refuses_makes_only_its_own_delivery_dead(monkeypatch, caplog):
    original = InboxItem.objects.add_items
    users = UserFactory.create_batch(4)
    NotificationManager.send(ShopEvents.ORDER_SHIPPED, users, None, {"order_number": "7"}, channels=["app"])

    def put(items):
        if any(item.recipient_id == users[1].pk for item in items):
            raise DataError("value too long")
        original(items)

    monkeypatch.setattr(type(InboxItem.objects), "add_items", lambda self, items: put(items))
    assert dispatch() == {"sent": 3, "dead": 1}
    assert Delivery.objects.get(state="dead").recipient_id == users[1].pk
