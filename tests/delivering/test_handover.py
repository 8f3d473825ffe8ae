"""Answers are recorded as they are known, and a stop is looked at between two messages."""

import threading
import time

import pytest
from django.db import connections

from notifications.delivering.dispatcher import Dispatcher
from notifications.delivering.recorder import Recorder
from notifications.delivering.workers.heartbeat import HeartbeatThread
from notifications.delivering.workers.stop import Stop
from notifications.models import Circuit, Delivery, NotificationLog
from notifications.outcomes import Receipt, Verdict
from tests.delivering.test_dispatcher import ScriptedChannel, refuse_orders, script  # noqa: F401
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
def hanging(script, settings):  # noqa: F811
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


def test_what_was_accepted_is_recorded_while_the_next_message_still_hangs(hanging):
    refuse_orders(5)
    with HeartbeatThread() as heartbeat:
        thread = threading.Thread(target=deliver, args=(heartbeat,))
        thread.start()
        until(lambda: states() == ["sent"] * 2 + ["sending"] * 3, 5)
        assert NotificationLog.objects.filter(success=True).count() == 2
        hanging.released.set()
        thread.join(20)
    assert states() == ["sent"] * 5
    assert NotificationLog.objects.count() == 5


def test_a_refusal_that_the_next_answer_may_excuse_is_not_recorded_early(hanging):
    refusal = {"verdict": Verdict.PERMANENT, "code": "550"}
    hanging.answers = [Verdict.ACCEPTED, refusal, refusal]
    refuse_orders(4)
    with HeartbeatThread() as heartbeat:
        thread = threading.Thread(target=deliver, args=(heartbeat,))
        thread.start()
        until(lambda: states()[0] == "sent", 5)
        hanging.released.set()
        thread.join(20)
    assert len(states()) == 4


def test_a_stop_ends_at_the_next_message(hanging):
    asked = threading.Event()
    refuse_orders(5)
    hanging.hangs_at = 0
    dispatcher = Dispatcher(stop=Stop(asked.is_set))

    def send(self, messages, send=ScriptedChannel.send):
        for receipt in send(self, messages):
            asked.set()
            yield receipt

    hanging.send, original = send, hanging.send
    try:
        assert dispatcher.run_batch(10)[1] == {"sent": 1, "retry": 4}
    finally:
        hanging.send = original
    assert sorted(Delivery.objects.values_list("state", "attempts")) == [("retry", 0)] * 4 + [("sent", 1)]


def test_a_group_that_goes_out_as_one_is_not_broken_off_by_a_stop_but_by_the_second(script):  # noqa: F811
    refuse_orders(3)
    assert Dispatcher(stop=Stop(lambda: bool(script.given))).run_batch(10)[1] == {"sent": 3}
    refuse_orders(3)
    at_once = lambda: len(script.given) > 3  # noqa: E731
    assert Dispatcher(stop=Stop(at_once, at_once)).run_batch(10)[1] == {"sent": 1, "retry": 2}
    assert NotificationLog.objects.filter(reason="lost_contact").count() == 2


def test_a_slow_failure_breaks_its_group_off_and_opens_the_circuit_where_there_is_another(
    hanging, settings, monkeypatch
):
    monkeypatch.setattr("notifications.delivering.attempt.SLOW_SECONDS", 0.2)
    monkeypatch.setattr("notifications.delivering.providers.choice.SLOW_SECONDS", 0.2)
    providers = [{"NAME": "first"}, {"NAME": "second"}]
    settings.NOTIFICATIONS["CHANNELS"]["log"]["PROVIDERS"] = providers
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS}
    hanging.answers, hanging.hangs_at = [{"verdict": Verdict.UNKNOWN}], 1
    refuse_orders(5)
    threading.Timer(0.4, hanging.released.set).start()
    dispatcher = Dispatcher()
    dispatcher.run_batch(10)
    assert len(hanging.given) == 1
    assert Circuit.objects.get(key="log/first").open_until
    began = time.monotonic()
    until(lambda: dispatcher.run_until_idle() is not None and states() == ["sent"] * 5, 10)
    assert time.monotonic() - began < 5


class Careless(ScriptedChannel):
    """Gives numbers where texts belong."""

    def send(self, messages):
        for message in messages:
            yield Receipt(message, Verdict.ACCEPTED, provider_message_id=12345, error=None)


def test_words_of_a_receipt_that_are_no_texts_cost_no_answer(script, settings):  # noqa: F811
    settings.NOTIFICATIONS["CHANNELS"]["log"]["BACKEND"] = f"{__name__}.Careless"
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS}
    refuse_orders(3)
    assert Dispatcher().run_batch(10)[1] == {"sent": 3}
    assert set(Delivery.objects.values_list("provider_message_id", flat=True)) == {"12345"}


def test_a_channel_that_ends_the_program_ends_only_its_group(script, monkeypatch):  # noqa: F811
    def end(self, messages):
        raise SystemExit(1)

    monkeypatch.setattr(ScriptedChannel, "send", end)
    refuse_orders(2)
    assert Dispatcher().run_batch(10)[1] == {"retry": 2}
    assert NotificationLog.objects.filter(reason="lost_contact").count() == 2


def test_the_recorder_outlives_a_group_that_it_cannot_record(caplog):
    class Broken:
        def record_final(self, min_age):
            raise TypeError("a bug")

        def get_unanswered_ids(self, seconds):
            return set()

    recorder = Recorder("default")
    recorder.start()
    with recorder.watch(Broken()):
        until(lambda: "cannot be recorded before their group ends" in caplog.text, 5)
        assert recorder._thread.is_alive()
    recorder.stop()
