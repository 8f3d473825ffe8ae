"""One batch from the outbox to its end."""

import sqlite3
from datetime import timedelta

import psycopg
import pytest
from django.core import mail
from django.db import DataError, OperationalError, connection
from django.utils import timezone

from notifications import signals
from notifications.channels import BaseChannel
from notifications.delivering.dispatcher import Dispatcher
from notifications.delivering.workers.heartbeat import HeartbeatThread
from notifications.events import NotificationEvent, NotificationPriority
from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery, InboxItem, NotificationLog
from notifications.outcomes import Receipt, Verdict
from notifications.recipients import Address
from notifications.storage.outbox import StateChange
from notifications.testing import temporary_events, travelling
from tests.factories import ClusterFactory, UserFactory, UserSettingsFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db


class ScriptedChannel(BaseChannel):
    """A provider that answers as it is told; what it was given is kept."""

    answers: list = []
    given: list = []

    def prepare(self, delivery, rendered):
        return {"to": delivery.recipient_key, "text": rendered.text, "key": delivery.idempotency_key}

    def send(self, messages):
        for message in messages:
            type(self).given.append(message)
            answer = type(self).answers.pop(0) if type(self).answers else Verdict.ACCEPTED
            if isinstance(answer, Exception):
                raise answer
            if isinstance(answer, Verdict):
                answer = {"verdict": answer}
            yield Receipt(message, provider="script", **answer)


@pytest.fixture
def script(settings):
    """Replaces the log channel, which order_refused goes through."""
    settings.NOTIFICATIONS = {
        "CHANNELS": {"log": {"BACKEND": f"{__name__}.ScriptedChannel"}},
        "RETRY_DELAYS": [60, 300, 900],
        "RETRY_JITTER": 0,
    }
    ScriptedChannel.answers, ScriptedChannel.given = [], []
    return ScriptedChannel


def refuse_orders(count=1, **options):
    users = UserFactory.create_batch(count)
    return NotificationManager.send(ShopEvents.ORDER_REFUSED, users, None, {}, **options)


def dispatch(**options):
    return dict(Dispatcher(**options).run_until_idle())


def the_delivery():
    return Delivery.objects.get()


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


def test_a_temporary_failure_is_tried_again_after_one_five_and_fifteen_minutes_then_dies(script):
    script.answers = [{"verdict": Verdict.TEMPORARY, "error": "busy"}] * 4
    with travelling() as clock:
        refuse_orders()
        for attempt, minutes in enumerate((1, 5, 15), start=1):
            assert dispatch() == {"retry": 1}
            assert (the_delivery().attempts, the_delivery().due_at) == (attempt, clock() + timedelta(minutes=minutes))
            assert dispatch() == {}
            clock.forward(minutes=minutes)
        assert dispatch() == {"dead": 1}
    assert the_delivery().reason == "temporary"
    assert NotificationLog.objects.filter(success=False, error_message="busy").count() == 4
    assert len(script.given) == 4


def test_the_provider_may_ask_for_a_longer_wait(script):
    script.answers = [{"verdict": Verdict.TEMPORARY, "retry_after": 3600}]
    with travelling() as clock:
        refuse_orders()
        dispatch()
        assert the_delivery().due_at == clock() + timedelta(hours=1)


def test_a_permanent_failure_dies_at_once(script):
    script.answers = [{"verdict": Verdict.PERMANENT, "error": "no such person ann@example.com"}]
    refuse_orders()
    assert dispatch() == {"dead": 1}
    [row] = NotificationLog.objects.all()
    assert (row.reason, row.success) == ("permanent", False)
    assert "ann@" not in row.error_message


def test_an_event_may_have_its_own_schedule_or_none(script):
    script.answers = [Verdict.TEMPORARY]
    with temporary_events() as events:
        events[ShopEvents.ORDER_REFUSED] = NotificationEvent(
            "order_refused", NotificationPriority.HIGH, ["log"], retry_delays=()
        )
        refuse_orders()
        assert dispatch() == {"dead": 1}


def test_lost_contact_is_tried_again_in_the_same_epoch(script):
    script.answers = [Verdict.UNKNOWN]
    with travelling() as clock:
        refuse_orders()
        assert dispatch() == {"retry": 1}
        assert the_delivery().reason == "lost_contact"
        clock.forward(minutes=1)
        assert dispatch() == {"sent": 1}
    assert script.given[0]["key"] == script.given[1]["key"]


def test_an_event_that_must_not_arrive_twice_is_held_for_a_person(script):
    script.answers = [Verdict.UNKNOWN]
    with temporary_events() as events:
        events[ShopEvents.ORDER_REFUSED] = NotificationEvent(
            "order_refused", NotificationPriority.HIGH, ["log"], on_unknown="hold"
        )
        refuse_orders()
        assert dispatch() == {"unknown": 1}
        assert dispatch() == {}
        Delivery.objects.all().reopen()
        assert dispatch() == {"sent": 1}
    assert the_delivery().epoch == 1


def test_an_exception_leaves_only_those_without_a_receipt_unknown(script, caplog):
    script.answers = [Verdict.ACCEPTED, ConnectionResetError("gone")]
    refuse_orders(3)
    assert dispatch() == {"sent": 1, "retry": 2}
    assert NotificationLog.objects.filter(error_message="ConnectionResetError: gone").count() == 2
    assert "in the middle of a group" in caplog.text


def test_each_lost_contact_of_a_group_is_named_in_the_log_once(script, caplog):
    script.answers = [Verdict.ACCEPTED, ConnectionResetError("gone")]
    refuse_orders(3)
    dispatch()
    lost = Delivery.objects.filter(reason="lost_contact").values_list("pk", flat=True)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(lost) == 2
    assert sorted(warnings) == [
        f"Contact was lost while delivery {pk} was being sent, so it may have arrived. Its state is now retry."
        for pk in sorted(lost)
    ]


def test_what_cannot_be_rendered_is_a_dead_letter_and_the_rest_goes_on(settings, caplog):
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


def test_a_channel_that_was_removed_meanwhile_makes_dead_letters(script, settings):
    refuse_orders()
    settings.NOTIFICATIONS = {}
    assert dispatch() == {"dead": 1}
    assert the_delivery().reason == "channel_not_configured"
    assert NotificationLog.objects.get().kind == "attempt"


def test_an_event_that_was_removed_meanwhile_makes_dead_letters(script):
    refuse_orders()
    with temporary_events() as events:
        del events[ShopEvents.ORDER_REFUSED]
        assert dispatch() == {"dead": 1}
    assert the_delivery().reason == "unknown_event"


def test_one_who_left_the_cluster_gets_nothing_more(script):
    user = UserFactory()
    cluster = ClusterFactory(members=[user])
    NotificationManager.send(ShopEvents.ORDER_REFUSED, user, cluster, {})
    cluster.members.remove(user)
    assert dispatch() == {"dropped": 1}
    assert script.given == []
    [row] = NotificationLog.objects.all()
    assert (row.kind, row.reason, row.delivery_id) == ("drop", "not_member", the_delivery().pk)


def test_one_who_opted_out_meanwhile_gets_nothing_more(script):
    user = UserFactory()
    NotificationManager.send(ShopEvents.ORDER_REFUSED, user, None, {})
    UserSettingsFactory(user=user, cluster=Cluster.objects.default(), channels={"LOG": False})
    assert dispatch() == {"dropped": 1}


def test_a_deleted_user_gets_nothing_and_the_log_stays(script):
    user = UserFactory()
    NotificationManager.send(ShopEvents.ORDER_REFUSED, user, None, {})
    user.delete()
    assert dispatch() == {"dropped": 1}
    assert NotificationLog.objects.get().reason == "unknown_user"


def test_a_deactivated_user_gets_nothing(script):
    user = UserFactory()
    NotificationManager.send(ShopEvents.ORDER_REFUSED, user, None, {})
    user.is_active = False
    user.save()
    assert dispatch() == {"dropped": 1}


def test_what_has_expired_is_not_sent(script):
    with travelling() as clock:
        refuse_orders(expires_at=clock() + timedelta(minutes=5))
        clock.forward(minutes=5)
        assert dispatch() == {"expired": 1}
    assert the_delivery().state == "expired"


def test_what_is_cancelled_is_not_sent(script):
    refuse_orders(cancel_key="order-7")
    assert NotificationManager.cancel(Cluster.objects.default(), "order-7") == 1
    assert dispatch() == {}
    assert the_delivery().state == "cancelled"


@pytest.fixture
def cancelled_meanwhile(script, monkeypatch):
    """While the provider has it, somebody cancels."""
    original = script.send

    def send(self, messages):
        assert NotificationManager.cancel(None, "order-7") == 0
        return original(self, messages)

    monkeypatch.setattr(script, "send", send)


def test_what_is_cancelled_while_a_provider_fails_is_not_tried_again(script, cancelled_meanwhile):
    script.answers = [Verdict.TEMPORARY]
    with travelling() as clock:
        refuse_orders(cancel_key="order-7")
        assert dispatch() == {"retry": 1}
        clock.forward(minutes=1)
        assert dispatch() == {"cancelled": 1}
    assert len(script.given) == 1
    assert the_delivery().settled_at is not None
    assert list(NotificationLog.objects.order_by("pk").values_list("kind", "reason")) == [
        ("attempt", "temporary"),
        ("drop", "cancelled"),
    ]


def test_what_is_cancelled_while_a_provider_takes_it_was_sent(cancelled_meanwhile):
    refuse_orders(cancel_key="order-7")
    assert dispatch() == {"sent": 1}


def test_what_is_cancelled_while_claimed_and_given_back_is_not_sent(script):
    refuse_orders(cancel_key="order-7")
    now = timezone.now()
    [row] = Delivery.objects.claim("one", now, now, 1)
    assert NotificationManager.cancel(None, "order-7") == 0
    Delivery.objects.settle([StateChange(row.pk, row.fence, "claimed", "ready")], now)
    assert (dispatch(), script.given) == ({"cancelled": 1}, [])


def test_what_died_and_was_cancelled_is_not_sent_again(script):
    script.answers = [Verdict.PERMANENT]
    refuse_orders(cancel_key="order-7")
    dispatch()
    NotificationManager.cancel(None, "order-7")
    NotificationManager.resend(the_delivery(), "the provider works again")
    assert dispatch() == {"cancelled": 1}


def test_a_bare_address_gets_its_mail():
    NotificationManager.send(
        ShopEvents.ORDER_SHIPPED, Address(email="contact@example.com"), None, {"order_number": "7"}, channels=["email"]
    )
    assert dispatch() == {"sent": 1}
    assert mail.outbox[0].to == ["contact@example.com"]


def test_a_row_with_strikes_is_sent_alone(script):
    refuse_orders(3)
    Delivery.objects.filter(pk=Delivery.objects.first().pk).update(strikes=1)
    groups = []
    original = script.send
    script.send = lambda self, messages: groups.append(len(messages)) or original(self, messages)
    try:
        dispatch()
    finally:
        script.send = original
    assert sorted(groups) == [1, 2]


def test_stopping_gives_back_what_was_not_begun(script):
    refuse_orders(30)
    answers = iter([False, False, True])
    assert dispatch(batch_size=30, stop=lambda: next(answers, True)) == {"sent": 10}
    assert Delivery.objects.filter(state="ready", owner="", strikes=0).count() == 20


def test_outcomes_are_told_after_the_commit(script, django_capture_on_commit_callbacks):
    told = []
    sent = lambda delivery, **kwargs: told.append(("sent", delivery.pk))  # noqa: E731
    failed = lambda delivery, **kwargs: told.append(("failed", delivery.pk))  # noqa: E731
    signals.delivery_sent.connect(sent)
    signals.delivery_failed.connect(failed)
    script.answers = [Verdict.ACCEPTED, Verdict.PERMANENT]
    refuse_orders(2)
    with django_capture_on_commit_callbacks(execute=True):
        dispatch()
    first, second = Delivery.objects.order_by("pk")
    assert told == [("sent", first.pk), ("failed", second.pk)]


def test_a_batch_takes_a_handful_of_queries_however_many_deliveries(django_assert_max_num_queries):
    users = UserFactory.create_batch(50)
    NotificationManager.send(ShopEvents.ORDER_SHIPPED, users, None, {"order_number": "7"}, channels=["app"])
    with django_assert_max_num_queries(20):
        assert Dispatcher().run_batch(50)[0] == 50


def test_a_bare_address_on_a_channel_without_addresses_stops_no_worker(script):
    NotificationManager.send(ShopEvents.ORDER_REFUSED, [Address(email="a@example.com"), UserFactory()], None, {})
    assert dispatch() == {"sent": 2}


def test_a_channel_that_cannot_be_made_keeps_only_its_own_deliveries_waiting(settings, caplog):
    settings.NOTIFICATIONS = {"CHANNELS": {"log": {"OPTIONS": {"level": "LOUD"}}}}
    with travelling() as clock:
        refuse_orders()
        NotificationManager.send(ShopEvents.ORDER_SHIPPED, UserFactory(), None, {"order_number": "7"})
        assert dispatch() == {"sent": 2}
        waiting = Delivery.objects.get(channel="log")
        assert (waiting.state, waiting.attempts, waiting.strikes) == ("ready", 0, 0)
        settings.NOTIFICATIONS = {"CHANNELS": {"log": {}}}
        clock.forward(minutes=5)
        assert dispatch() == {"sent": 1}
    assert "cannot be created" in caplog.text


def poisoned(transform, channels=("app",)):
    """Five ordinary deliveries on each channel around one whose transform is poison."""
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


def test_text_that_cannot_be_stored_buries_only_its_own_delivery(caplog):
    events = poisoned(lambda: {"order_number": "\ud800"})
    try:
        assert dispatch() == {"sent": 5, "dead": 1}
    finally:
        events.__exit__(None, None, None)
    assert Delivery.objects.get(state="dead").reason == "rendering"


@pytest.mark.parametrize("cause", [sqlite3.OperationalError("database is locked"), psycopg.errors.LockNotAvailable()])
def test_a_database_error_while_rendering_is_no_dead_letter_and_nothing_stays_claimed(cause):
    if isinstance(cause, sqlite3.Error):
        cause.sqlite_errorcode = sqlite3.SQLITE_BUSY

    def locked():
        raise OperationalError("database is locked") from cause

    events, dispatcher = poisoned(locked), Dispatcher()
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
def test_a_statement_that_fails_while_rendering_buries_only_its_own_delivery(statement, caplog):
    """It would fail each time, and stop the batch that it is in for ever."""

    def fail():
        with connection.cursor() as cursor:
            cursor.execute(statement)

    events = poisoned(fail)
    try:
        assert dispatch() == {"sent": 5, "dead": 1}
    finally:
        events.__exit__(None, None, None)
    assert Delivery.objects.get(state="dead").reason == "rendering"


def test_what_the_database_refuses_buries_only_its_own_delivery(monkeypatch, caplog):
    original = InboxItem.objects.put
    users = UserFactory.create_batch(4)
    NotificationManager.send(ShopEvents.ORDER_SHIPPED, users, None, {"order_number": "7"}, channels=["app"])

    def put(items):
        if any(item.recipient_id == users[1].pk for item in items):
            raise DataError("value too long")
        original(items)

    monkeypatch.setattr(type(InboxItem.objects), "put", lambda self, items: put(items))
    assert dispatch() == {"sent": 3, "dead": 1}
    assert Delivery.objects.get(state="dead").recipient_id == users[1].pk


def test_a_delivery_that_stopped_a_worker_is_claimed_alone(script):
    refuse_orders(3)
    struck = Delivery.objects.order_by("pk")[1]
    Delivery.objects.filter(pk=struck.pk).update(strikes=1)
    dispatcher = Dispatcher()
    claimed, tally = dispatcher.run_batch(10)
    assert (claimed, tally) == (2, {"sent": 2})
    assert dispatcher.run_batch(10) == (1, {"sent": 1})
    assert len(script.given) == 3


def test_what_a_thread_lost_hold_of_is_renewed_no_more(script, monkeypatch):
    refuse_orders()
    heartbeat = HeartbeatThread()
    renewed = []

    def fails(self, claimed, now):
        renewed.append(heartbeat._renewed_ids())
        raise OperationalError("the database went away")

    monkeypatch.setattr(Dispatcher, "_process_batch", fails)
    with pytest.raises(OperationalError):
        Dispatcher(heartbeat=heartbeat).run_batch(10)
    assert renewed == [[the_delivery().pk]]
    assert heartbeat._renewed_ids() == []


def test_one_shot_runs_of_one_batch_come_to_what_is_old_under_a_flood_of_urgent_mail(settings):
    """A run takes the oldest by a chance of one in ten: that 150 runs never do has a chance of 1.4e-7."""
    settings.NOTIFICATIONS = {"CHANNELS": {"log": {}}}
    user = UserFactory()

    def queue(priority):
        return NotificationManager.send(ShopEvents.ORDER_REFUSED, user, None, {}, priority=priority).notification_id

    old = queue(NotificationPriority.LOW)
    for _ in range(150):
        while Delivery.objects.filter(state="ready").count() < 4:
            queue(NotificationPriority.HIGH)
        Dispatcher(batch_size=2).run_until_idle(limit=2)
        if Delivery.objects.filter(notification=old, state="sent").exists():
            return
    raise AssertionError("It starved.")
