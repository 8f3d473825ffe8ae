"""The answers of a provider are written even if the database or the worker fails for a time."""

import time
from datetime import timedelta

import pytest
from django.db import DataError, OperationalError
from django.utils.timezone import now

from notifications.delivering.attempt_outcomes import Outcomes, build_retry
from notifications.delivering.dispatcher import Dispatcher
from notifications.delivering.outcome_writer import OutcomeWriter
from notifications.delivering.workers.heartbeat import HeartbeatThread
from notifications.models import Delivery, NotificationLog
from notifications.outcomes import Reason, Verdict
from tests.delivering.scripted import ScriptedChannel, refuse_orders

pytestmark = pytest.mark.django_db(transaction=True)


class OneByOne(ScriptedChannel):
    one_by_one = True


@pytest.fixture
def settle_errors(monkeypatch):
    """A list of errors that writing outcomes raises, one at each call."""
    errors, settle = [], Delivery.objects._queryset_class.settle

    def failing(self, settlements, now):
        if errors and settlements and settlements[0].was == "sending":
            raise errors.pop(0)
        return settle(self, settlements, now)

    monkeypatch.setattr(Delivery.objects._queryset_class, "settle", failing)
    return errors


def test_a_worker_that_cannot_record_sends_nothing(scripted_channel, settle_errors):
    refuse_orders(25)
    settle_errors += [OperationalError("disk full")] * 3
    dispatcher = Dispatcher(batch_size=10)
    for _ in range(3):
        with pytest.raises(OperationalError):
            dispatcher.run_until_idle()
        assert len(scripted_channel.given) == 10
    assert dispatcher.run_until_idle() == {"sent": 25}
    assert len(scripted_channel.given) == len({message["key"] for message in scripted_channel.given}) == 25
    assert NotificationLog.objects.filter(success=True).count() == 25


def test_an_outcome_that_cannot_be_stored_does_not_stop_the_others(scripted_channel, settle_errors, caplog):
    refuse_orders(3)
    # The group is written first, then its three outcomes one by one.
    settle_errors += [DataError("the group"), DataError("the first")]
    assert Dispatcher().run_until_idle() == {"sent": 2}
    assert len(scripted_channel.given) == 3
    assert "cannot be stored" in caplog.text


def test_a_commit_without_an_answer_is_not_logged_twice(scripted_channel, monkeypatch):
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


def test_after_a_pause_of_its_heartbeat_a_worker_sends_nothing_that_it_claimed_before(scripted_channel, settings):
    settings.NOTIFICATIONS["CHANNELS"]["log"]["BACKEND"] = f"{__name__}.OneByOne"
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "LEASE_SECONDS": 1, "BEAT_SECONDS": 0.1}
    refuse_orders(3)
    heartbeat = HeartbeatThread()

    def freeze(self, messages, send=ScriptedChannel.send):
        for receipt in send(self, messages):
            if len(OneByOne.given) == 1:
                time.sleep(0.6)
                heartbeat.beat()  # The first beat after the pause: healthy again, but in a new life.
            yield receipt

    OneByOne.given, OneByOne.answers, OneByOne.send = [], [], freeze
    dispatcher = Dispatcher(heartbeat=heartbeat)
    _, tally = dispatcher.run_batch(10)
    assert tally == {"sent": 1, "retry": 2}
    assert len(OneByOne.given) == 1
    assert sorted(Delivery.objects.values_list("state", "attempts")) == [("retry", 0), ("retry", 0), ("sent", 1)]
    assert NotificationLog.objects.count() == 1
    assert dispatcher.run_until_idle() == {"sent": 2}


def test_the_last_outcomes_are_written_when_the_worker_ends(scripted_channel, settle_errors):
    refuse_orders(3)
    settle_errors += [OperationalError("away")]
    dispatcher = Dispatcher()
    with pytest.raises(OperationalError):
        dispatcher.run_until_idle()
    dispatcher.close()
    assert set(Delivery.objects.values_list("state", flat=True)) == {"sent"}


def test_an_answer_is_kept_if_the_database_goes_away_before_it_returns_the_time(scripted_channel, monkeypatch):
    refuse_orders(2)
    send = ScriptedChannel.send

    def gone(*args):
        raise OperationalError("away")

    with monkeypatch.context() as database:

        def send_and_lose_database(self, messages):
            yield from send(self, messages)
            database.setattr(OutcomeWriter, "now", gone)
            database.setattr(OutcomeWriter, "write", gone)

        database.setattr(ScriptedChannel, "send", send_and_lose_database)
        dispatcher = Dispatcher()
        with pytest.raises(OperationalError):
            dispatcher.run_until_idle()
    assert dispatcher.run_until_idle() == {"sent": 2}
    assert len(scripted_channel.given) == 2


def test_one_by_one_an_exception_leaves_only_the_next_unknown(scripted_channel, monkeypatch):
    monkeypatch.setattr(scripted_channel, "one_by_one", True)
    scripted_channel.answers = [Verdict.ACCEPTED, ConnectionResetError("gone")]
    refuse_orders(4)
    Dispatcher().run_batch(10)
    states = list(Delivery.objects.order_by("pk").values_list("state", "reason", "attempts"))
    assert states == [
        ("sent", "", 1),
        ("retry", Reason.LOST_CONTACT, 1),
        ("retry", Reason.BROKEN_OFF, 0),
        ("retry", Reason.BROKEN_OFF, 0),
    ]


def test_the_writer_does_not_wait_again_for_a_database_that_has_just_failed(settle_errors, scripted_channel):
    refuse_orders(2)
    rows = Delivery.objects.claim("worker", now() + timedelta(minutes=1), 10)
    rows = Delivery.objects.with_notifications(rows)
    Delivery.objects.mark_sending(rows, now() + timedelta(minutes=1))
    writer = OutcomeWriter()
    settle_errors.append(OperationalError("database is locked"))
    for row in rows:
        with pytest.raises(OperationalError):
            writer.record(Outcomes([build_retry(row, now())], now()))
    assert not settle_errors, "the first was tried"
    assert set(Delivery.objects.values_list("state", flat=True)) == {"sending"}
    writer.catch_up()
    assert writer.take_tally() == {"retry": 2}
