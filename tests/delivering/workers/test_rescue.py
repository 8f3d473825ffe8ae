"""Lost workers are found and confirmed, and their deliveries are rescued."""

import time
from datetime import timedelta

import pytest

from notifications import signals
from notifications.channels.log import LogChannel
from notifications.delivering.attempt import GroupHandover
from notifications.delivering.attempt_outcomes import Outcomes, build_retry
from notifications.delivering.dispatcher import Dispatcher
from notifications.delivering.outcome_writer import OutcomeWriter
from notifications.delivering.workers.heartbeat import HeartbeatThread
from notifications.delivering.workers.rescue import Rescuer
from notifications.events import NotificationEvent, NotificationPriority
from notifications.manager import NotificationManager
from notifications.models import Delivery, Heartbeat, Notification, NotificationLog, TrackingFigure
from notifications.testing import temporary_events, travelling
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def quick(settings):
    settings.NOTIFICATIONS = {
        "CHANNELS": {"log": {}}, "LEASE_SECONDS": 60, "BEAT_SECONDS": 0.001, "RETRY_JITTER": 0,
    }  # fmt: skip


@pytest.fixture
def clock():
    with travelling() as clock:
        yield clock


@pytest.fixture
def rescuer():
    return Rescuer("default")


def rescue_twice(rescuer, clock):
    rescuer.rescue(clock())
    time.sleep(0.005)
    return dict(rescuer.rescue(clock()))


def take(clock, owner="lost", sending=False):
    NotificationManager.send(ShopEvents.ORDER_REFUSED, UserFactory(), None, {})
    rows = Delivery.objects.claim(owner, clock() + timedelta(seconds=60), 10)
    if sending:
        Delivery.objects.mark_sending(rows, clock() + timedelta(seconds=600))


def the_delivery():
    return Delivery.objects.get()


def beat(clock, owner="lost"):
    Heartbeat.objects.beat(owner, "here", 1, clock())


def test_a_claim_of_a_lost_worker_is_ready_again(clock, rescuer):
    beat(clock)
    take(clock)
    clock.forward(seconds=61)
    assert rescue_twice(rescuer, clock) == {"ready": 1}
    assert the_delivery().strikes == 0
    assert Dispatcher().run_until_idle() == {"sent": 1}


def test_a_delivery_that_a_lost_worker_was_sending_is_retried_and_logged(clock, rescuer):
    beat(clock)
    take(clock, sending=True)
    clock.forward(seconds=61)
    assert rescue_twice(rescuer, clock) == {"retry": 1}
    assert (the_delivery().strikes, the_delivery().due_at) == (0, clock() + timedelta(minutes=1))
    assert the_delivery().needs_trial
    assert NotificationLog.objects.filter(reason="lost_contact", success=False).count() == 1
    clock.forward(minutes=1)
    assert Dispatcher().run_until_idle() == {"sent": 1}


def test_a_worker_is_lost_only_if_a_second_call_confirms_it(clock, rescuer):
    beat(clock)
    take(clock)
    clock.forward(hours=1)  # the database's clock jumped
    rescuer.rescue(clock())
    beat(clock)
    Delivery.objects.renew_leases("lost", [the_delivery().pk], clock() + timedelta(seconds=60))
    assert rescue_twice(rescuer, clock) == {}
    assert the_delivery().state == "claimed"


def test_a_live_worker_with_a_hanging_provider_loses_the_delivery_without_a_strike(clock, rescuer):
    take(clock, sending=True)
    clock.forward(seconds=601)
    beat(clock)
    rescue_twice(rescuer, clock)
    assert (the_delivery().state, the_delivery().strikes) == ("retry", 0)


def test_a_delivery_that_must_not_arrive_twice_waits_for_a_person(clock, rescuer):
    with temporary_events() as events:
        events[ShopEvents.ORDER_REFUSED] = NotificationEvent(
            "order_refused", NotificationPriority.HIGH, ["log"], on_unknown="hold"
        )
        beat(clock)
        take(clock, sending=True)
        clock.forward(seconds=61)
        assert rescue_twice(rescuer, clock) == {"unknown": 1}
        assert rescue_twice(rescuer, clock) == {}


@pytest.mark.parametrize(("on_unknown", "state"), [("hold", "unknown"), ("retry", "retry")])
def test_a_delivery_that_a_lost_worker_was_sending_is_logged_once(clock, rescuer, caplog, on_unknown, state):
    with temporary_events() as events:
        events[ShopEvents.ORDER_REFUSED] = NotificationEvent(
            "order_refused", NotificationPriority.HIGH, ["log"], on_unknown=on_unknown
        )
        beat(clock)
        take(clock, sending=True)
        clock.forward(seconds=61)
        rescue_twice(rescuer, clock)
        rescue_twice(rescuer, clock)
    [record] = [record for record in caplog.records if record.levelname == "WARNING"]
    assert record.getMessage() == (
        f"Contact was lost while delivery {the_delivery().pk} was being sent, so it may have arrived. "
        f"Its state is now {state}."
    )


def test_a_claim_of_a_lost_worker_is_no_lost_contact(clock, rescuer, caplog):
    beat(clock)
    take(clock)
    clock.forward(seconds=61)
    assert rescue_twice(rescuer, clock) == {"ready": 1}
    assert "Contact was lost" not in caplog.text


def test_the_third_strike_sends_the_failed_signal(clock, rescuer, django_capture_on_commit_callbacks):
    received = []
    failed = lambda delivery, **kwargs: received.append((delivery.pk, delivery.state, delivery.reason))  # noqa: E731
    signals.delivery_failed.connect(failed)
    take(clock)
    Delivery.objects.update(strikes=2)
    Delivery.objects.begin_trial(the_delivery())
    clock.forward(seconds=61)
    with django_capture_on_commit_callbacks(execute=True):
        rescue_twice(rescuer, clock)
    assert received == [(the_delivery().pk, "dead", "strikes")]


def test_the_third_strike_counts_as_failed(clock, rescuer):
    take(clock)
    Notification.objects.update(campaign="spring")
    Delivery.objects.update(strikes=2)
    Delivery.objects.begin_trial(the_delivery())
    clock.forward(seconds=61)
    rescue_twice(rescuer, clock)
    assert list(TrackingFigure.objects.values_list("metric", "count")) == [("failed", 1)]


def test_the_late_outcome_of_a_suspended_worker_is_refused(clock, rescuer, monkeypatch, caplog):
    NotificationManager.send(ShopEvents.ORDER_REFUSED, UserFactory(), None, {})
    late = Dispatcher()

    def stopped_for_long(*args):
        clock.forward(hours=1)
        rescue_twice(rescuer, clock)

    original = LogChannel.send

    def send(self, messages):
        stopped_for_long()
        yield from original(self, messages)

    monkeypatch.setattr(LogChannel, "send", send)
    assert late.run_until_idle() == {}
    assert the_delivery().state == "retry"
    assert "came too late" in caplog.text


def test_a_worker_never_rescues_deliveries_of_its_own_threads(clock):
    heartbeat = HeartbeatThread()
    beat(clock, heartbeat.owner)
    take(clock, heartbeat.owner, sending=True)
    clock.forward(hours=1)  # the database was locked for so long
    with heartbeat.renewing([the_delivery().pk]):
        assert rescue_twice(Rescuer("default", heartbeat), clock) == {}
    writer = OutcomeWriter(heartbeat)
    writer.keep(Outcomes([build_retry(the_delivery(), clock())], clock()))
    assert rescue_twice(Rescuer("default", heartbeat), clock) == {}
    assert the_delivery().state == "sending"
    writer.catch_up()
    assert the_delivery().state == "retry"


def test_a_worker_rescues_a_delivery_that_its_own_thread_has_lost(clock):
    heartbeat = HeartbeatThread()
    take(clock, heartbeat.owner, sending=True)
    clock.forward(hours=1)
    beat(clock, heartbeat.owner)
    assert rescue_twice(Rescuer("default", heartbeat), clock) == {"retry": 1}
    assert not the_delivery().strikes


def test_the_only_worker_rescues_a_delivery_that_its_provider_never_answers(clock, settings):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "LEASE_SECONDS": 1}
    heartbeat = HeartbeatThread()
    take(clock, heartbeat.owner, sending=True)
    clock.forward(hours=1)
    beat(clock, heartbeat.owner)
    providers = Dispatcher().session.providers
    group = GroupHandover(providers.choose(the_delivery(), clock()), OutcomeWriter(heartbeat), providers)
    with heartbeat.renewing([the_delivery().pk]), heartbeat.recorder.watch(group):
        group.begin([the_delivery()])
        assert rescue_twice(Rescuer("default", heartbeat), clock) == {}
        time.sleep(1.1)
        heartbeat.beat()
        rescuer = Rescuer("default", heartbeat)
        rescuer._generation = heartbeat.generation
        assert rescue_twice(rescuer, clock) == {"retry": 1}


def test_a_worker_gives_others_a_whole_lease_after_its_own_heartbeat_paused(clock, settings):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "LEASE_SECONDS": 1, "BEAT_SECONDS": 0.001}
    heartbeat = HeartbeatThread()
    rescuer = Rescuer("default", heartbeat)
    beat(clock)
    take(clock)
    time.sleep(0.6)
    clock.forward(hours=1)
    assert not heartbeat.is_healthy()
    assert rescue_twice(rescuer, clock) == {}
    heartbeat.beat()
    assert rescue_twice(rescuer, clock) == {}
    until = time.monotonic() + 1.1
    while time.monotonic() < until:
        heartbeat.beat()
        time.sleep(0.05)
    assert rescue_twice(rescuer, clock) == {"ready": 1}


def test_a_worker_gives_others_a_whole_lease_after_a_slow_write(clock, rescuer, monkeypatch, settings):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "LEASE_SECONDS": 1, "BEAT_SECONDS": 0.1}
    beat(clock)
    take(clock)
    clock.forward(hours=1)
    rescuer.rescue(clock())
    time.sleep(0.2)
    with monkeypatch.context() as lock:
        lock.setattr(Delivery.objects._queryset_class, "wait_until_writable", lambda self: time.sleep(0.2))
        assert rescuer.rescue(clock()) == {}
    assert rescuer.rescue(clock()) == {}
    time.sleep(1)
    rescuer.rescue(clock())
    time.sleep(0.2)
    assert rescuer.rescue(clock()) == {"ready": 1}


def test_the_heartbeat_of_a_worker_that_died_long_ago_is_deleted(clock, rescuer):
    beat(clock, "long-dead")
    beat(clock, "holding")
    take(clock, "holding")
    clock.forward(seconds=601)
    beat(clock, "living")
    rescue_twice(rescuer, clock)
    rescue_twice(rescuer, clock)
    assert list(Heartbeat.objects.values_list("pk", flat=True)) == ["living"]
