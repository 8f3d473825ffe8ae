"""Answers are recorded early if a group takes long, and a stop is noticed between two messages."""

import threading
import time

import pytest
from django.db import connections

from notifications.delivering.dispatcher import Dispatcher
from notifications.delivering.session import Stop
from notifications.delivering.slow_groups import SlowGroupRecorder
from notifications.delivering.workers.heartbeat import HeartbeatThread
from notifications.models import Circuit, Delivery, NotificationLog
from notifications.outcomes import Receipt, Verdict
from tests.delivering.scripted import ScriptedChannel, refuse_orders
from tests.processes import until

pytestmark = pytest.mark.django_db(transaction=True)


class OneByOne(ScriptedChannel):
    one_by_one = True
    hangs_at = 0
    released = threading.Event()

    def send(self, messages):
        for receipt in super().send(messages):
            if len(self.given) == self.hangs_at:
                self.released.wait(20)
            yield receipt


@pytest.fixture
def hanging_channel(scripted_channel, settings):
    settings.NOTIFICATIONS["CHANNELS"]["log"]["BACKEND"] = f"{__name__}.OneByOne"
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS}
    OneByOne.answers, OneByOne.given, OneByOne.hangs_at = [], [], 3
    OneByOne.released = threading.Event()
    yield OneByOne
    OneByOne.released.set()


def deliver(heartbeat):
    Dispatcher(heartbeat=heartbeat).run_batch(10)
    connections.close_all()


def states():
    return list(Delivery.objects.order_by("pk").values_list("state", flat=True))


def test_accepted_messages_are_recorded_while_the_next_one_hangs(hanging_channel):
    refuse_orders(5)
    with HeartbeatThread() as heartbeat:
        thread = threading.Thread(target=deliver, args=(heartbeat,))
        thread.start()
        until(lambda: states() == ["sent"] * 2 + ["sending"] * 3, 5)
        assert NotificationLog.objects.filter(success=True).count() == 2
        hanging_channel.released.set()
        thread.join(20)
    assert states() == ["sent"] * 5
    assert NotificationLog.objects.count() == 5


def test_a_refusal_that_the_next_answer_can_change_is_not_recorded_early(hanging_channel):
    refusal = {"verdict": Verdict.PERMANENT, "code": "550"}
    hanging_channel.answers = [Verdict.ACCEPTED, refusal, refusal]
    refuse_orders(4)
    with HeartbeatThread() as heartbeat:
        thread = threading.Thread(target=deliver, args=(heartbeat,))
        thread.start()
        until(lambda: states()[0] == "sent", 5)
        hanging_channel.released.set()
        thread.join(20)
    assert len(states()) == 4


def test_a_stop_ends_at_the_next_message(hanging_channel):
    stopped = threading.Event()
    refuse_orders(5)
    hanging_channel.hangs_at = 0
    dispatcher = Dispatcher(stop=Stop(stopped.is_set))

    def send(self, messages, send=ScriptedChannel.send):
        for receipt in send(self, messages):
            stopped.set()
            yield receipt

    hanging_channel.send, original = send, hanging_channel.send
    try:
        assert dispatcher.run_batch(10)[1] == {"sent": 1, "retry": 4}
    finally:
        hanging_channel.send = original
    assert sorted(Delivery.objects.values_list("state", "attempts")) == [("retry", 0)] * 4 + [("sent", 1)]


def test_a_group_sent_as_one_is_broken_off_only_by_the_second_stop(scripted_channel):
    refuse_orders(3)
    assert Dispatcher(stop=Stop(lambda: bool(scripted_channel.given))).run_batch(10)[1] == {"sent": 3}
    refuse_orders(3)
    at_once = lambda: len(scripted_channel.given) > 3  # noqa: E731
    assert Dispatcher(stop=Stop(at_once, at_once)).run_batch(10)[1] == {"sent": 1, "retry": 2}
    assert NotificationLog.objects.filter(reason="lost_contact").count() == 2


def test_a_slow_failure_breaks_off_its_group_and_opens_the_circuit_if_there_is_another_provider(
    hanging_channel, settings, monkeypatch
):
    monkeypatch.setattr("notifications.delivering.attempt.SLOW_SECONDS", 0.2)
    monkeypatch.setattr("notifications.delivering.providers.choice.SLOW_SECONDS", 0.2)
    providers = [{"NAME": "first"}, {"NAME": "second"}]
    settings.NOTIFICATIONS["CHANNELS"]["log"]["PROVIDERS"] = providers
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS}
    hanging_channel.answers, hanging_channel.hangs_at = [{"verdict": Verdict.UNKNOWN}], 1
    refuse_orders(5)
    threading.Timer(0.4, hanging_channel.released.set).start()
    dispatcher = Dispatcher()
    dispatcher.run_batch(10)
    assert len(hanging_channel.given) == 1
    assert Circuit.objects.get(key="log/first").open_until
    began = time.monotonic()
    until(lambda: dispatcher.run_until_idle() is not None and states() == ["sent"] * 5, 10)
    assert time.monotonic() - began < 5


class NumericChannel(ScriptedChannel):
    """Returns a number and None instead of texts."""

    def send(self, messages):
        for message in messages:
            yield Receipt(message, Verdict.ACCEPTED, provider_message_id=12345, error=None)


def test_values_of_a_receipt_that_are_not_texts_are_accepted(scripted_channel, settings):
    settings.NOTIFICATIONS["CHANNELS"]["log"]["BACKEND"] = f"{__name__}.NumericChannel"
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS}
    refuse_orders(3)
    assert Dispatcher().run_batch(10)[1] == {"sent": 3}
    assert set(Delivery.objects.values_list("provider_message_id", flat=True)) == {"12345"}


def test_a_channel_that_raises_system_exit_ends_only_its_group(scripted_channel, monkeypatch):
    def end(self, messages):
        raise SystemExit(1)

    monkeypatch.setattr(ScriptedChannel, "send", end)
    refuse_orders(2)
    assert Dispatcher().run_batch(10)[1] == {"retry": 2}
    assert NotificationLog.objects.filter(reason="lost_contact").count() == 2


def test_the_recorder_continues_after_a_group_that_it_cannot_record(caplog):
    class Broken:
        def record_final(self, min_age):
            raise TypeError("a bug")

        def get_unanswered_ids(self, seconds):
            return set()

    recorder = SlowGroupRecorder("default")
    recorder.start()
    with recorder.watch(Broken()):
        until(lambda: "cannot be recorded before their group ends" in caplog.text, 5)
        assert recorder._thread.is_alive()
    recorder.stop()
