"""What a provider has answered is written down, whatever happens to the database or the worker meanwhile."""

import time
from datetime import timedelta

import pytest
from django.db import DataError, OperationalError
from django.utils.timezone import now

from notifications.delivering.dispatcher import Dispatcher
from notifications.delivering.outcome_writer import OutcomeWriter
from notifications.delivering.record import Outcomes, retry_unsent
from notifications.delivering.workers.heartbeat import HeartbeatThread
from notifications.models import Delivery, NotificationLog
from notifications.outcomes import Reason, Verdict
from tests.delivering.test_dispatcher import ScriptedChannel, refuse_orders, script  # noqa: F401

pytestmark = pytest.mark.django_db(transaction=True)


class OneByOne(ScriptedChannel):
    one_by_one = True


@pytest.fixture
def out_of_order(monkeypatch):
    """A database that takes no outcomes while this list has errors to raise."""
    errors, settle = [], Delivery.objects._queryset_class.settle

    def failing(self, settlements, now):
        if errors and settlements and settlements[0].was == "sending":
            raise errors.pop(0)
        return settle(self, settlements, now)

    monkeypatch.setattr(Delivery.objects._queryset_class, "settle", failing)
    return errors


def test_a_worker_that_cannot_record_sends_nothing_more(script, out_of_order):  # noqa: F811
    refuse_orders(25)
    out_of_order += [OperationalError("disk full")] * 3
    dispatcher = Dispatcher(batch_size=10)
    for _ in range(3):
        with pytest.raises(OperationalError):
            dispatcher.run_until_idle()
        assert len(script.given) == 10
    assert dispatcher.run_until_idle() == {"sent": 25}
    assert len(script.given) == len({message["key"] for message in script.given}) == 25
    assert NotificationLog.objects.filter(success=True).count() == 25


def test_an_outcome_that_cannot_be_stored_does_not_stop_the_others(script, out_of_order, caplog):  # noqa: F811
    refuse_orders(3)
    # First the group, then its three one after the other.
    out_of_order += [DataError("the group"), DataError("the first")]
    assert Dispatcher().run_until_idle() == {"sent": 2}
    assert len(script.given) == 3
    assert "cannot be stored" in caplog.text


def test_a_commit_whose_answer_was_lost_is_not_logged_twice(script, monkeypatch):  # noqa: F811
    refuse_orders(3)
    write, lost = OutcomeWriter.write, [OperationalError("the answer was lost")]

    def written_but_unanswered(self, outcomes):
        tally = write(self, outcomes)
        if lost:
            raise lost.pop()
        return tally

    monkeypatch.setattr(OutcomeWriter, "write", written_but_unanswered)
    dispatcher = Dispatcher()
    with pytest.raises(OperationalError):
        dispatcher.run_until_idle()
    assert dispatcher.run_until_idle() == {}
    assert NotificationLog.objects.count() == 3


def test_a_heart_that_stood_still_sends_nothing_of_what_was_claimed_before(script, settings):  # noqa: F811
    settings.NOTIFICATIONS["CHANNELS"]["log"]["BACKEND"] = f"{__name__}.OneByOne"
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "LEASE_SECONDS": 1, "BEAT_SECONDS": 0.1}
    refuse_orders(3)
    heartbeat = HeartbeatThread()

    def freeze(self, messages, send=ScriptedChannel.send):
        for receipt in send(self, messages):
            if len(OneByOne.given) == 1:
                time.sleep(0.6)
                heartbeat.beat()  # the first beat after the thaw: felt again, but a new life
            yield receipt

    OneByOne.given, OneByOne.answers, OneByOne.send = [], [], freeze
    dispatcher = Dispatcher(heartbeat=heartbeat)
    _, tally = dispatcher.run_batch(10)
    assert tally == {"sent": 1, "retry": 2}
    assert len(OneByOne.given) == 1
    assert sorted(Delivery.objects.values_list("state", "attempts")) == [("retry", 0), ("retry", 0), ("sent", 1)]
    assert NotificationLog.objects.count() == 1
    assert dispatcher.run_until_idle() == {"sent": 2}


def test_what_was_sent_last_is_written_down_when_the_worker_ends(script, out_of_order):  # noqa: F811
    refuse_orders(3)
    out_of_order += [OperationalError("away")]
    dispatcher = Dispatcher()
    with pytest.raises(OperationalError):
        dispatcher.run_until_idle()
    dispatcher.close()
    assert set(Delivery.objects.values_list("state", flat=True)) == {"sent"}


def test_an_answer_is_kept_though_the_database_went_away_before_it_could_tell_the_time(script, monkeypatch):  # noqa: F811
    refuse_orders(2)
    send = ScriptedChannel.send

    def gone(*args):
        raise OperationalError("away")

    with monkeypatch.context() as database:

        def and_then_it_goes(self, messages):
            yield from send(self, messages)
            database.setattr(OutcomeWriter, "now", gone)
            database.setattr(OutcomeWriter, "write", gone)

        database.setattr(ScriptedChannel, "send", and_then_it_goes)
        dispatcher = Dispatcher()
        with pytest.raises(OperationalError):
            dispatcher.run_until_idle()
    assert dispatcher.run_until_idle() == {"sent": 2}
    assert len(script.given) == 2


def test_one_by_one_an_exception_leaves_only_the_next_unknown(script, monkeypatch):  # noqa: F811
    monkeypatch.setattr(script, "one_by_one", True)
    script.answers = [Verdict.ACCEPTED, ConnectionResetError("gone")]
    refuse_orders(4)
    Dispatcher().run_batch(10)
    states = list(Delivery.objects.order_by("pk").values_list("state", "reason", "attempts"))
    assert states == [
        ("sent", "", 1),
        ("retry", Reason.LOST_CONTACT, 1),
        ("retry", Reason.BROKEN_OFF, 0),
        ("retry", Reason.BROKEN_OFF, 0),
    ]


def test_nobody_waits_a_second_time_for_a_database_that_has_just_failed(out_of_order, script):  # noqa: F811
    refuse_orders(2)
    rows = Delivery.objects.claim("worker", now(), now() + timedelta(minutes=1), 10)
    rows = Delivery.objects.with_notifications(rows)
    Delivery.objects.mark_sending(rows, now() + timedelta(minutes=1))
    writer = OutcomeWriter()
    out_of_order.append(OperationalError("database is locked"))
    for row in rows:
        with pytest.raises(OperationalError):
            writer.record(Outcomes([retry_unsent(row, now())], now()))
    assert not out_of_order, "the first was tried"
    assert set(Delivery.objects.values_list("state", flat=True)) == {"sending"}
    writer.catch_up()
    assert writer.counter.take() == {"retry": 2}
