"""Which tasks are called in which queues. A recorder replaces the broker."""

import threading
from datetime import timedelta

import pytest

from notifications.core import clock
from notifications.events import NotificationPriority
from notifications.models import Circuit, Delivery, Heartbeat, Pause
from notifications.testing import travelling
from tests.celery.sending import send, states

pytestmark = [pytest.mark.needs("celery"), pytest.mark.django_db(transaction=True)]
LOW, MEDIUM, CRITICAL = NotificationPriority.LOW, NotificationPriority.MEDIUM, NotificationPriority.CRITICAL


class Recorder:
    """Records each call: the queue, the arguments of the task, and when it expires."""

    def __init__(self):
        self.calls = []

    def publish(self, task, args, queue, expires=None):
        self.calls.append((queue, args, expires))
        return True

    @property
    def queues(self):
        return [queue for queue, *_ in self.calls]


@pytest.fixture
def recorder(celery_app, monkeypatch):
    from notifications.celery import calls

    recorder = Recorder()
    monkeypatch.setattr(calls, "broker", recorder)
    return recorder


@pytest.fixture
def ready(recorder):
    """Queue deliveries as if their call had been lost."""

    def queue(*args, **options):
        sent = send(*args, **options)
        recorder.calls.clear()
        return sent

    return queue


def test_a_call_carries_ids_and_goes_to_the_queue_of_the_priority(recorder):
    low, critical = send(2, priority=LOW), send(priority=CRITICAL)
    assert recorder.calls == [
        ("klaxon.low", ("default", [low.notification_id], True), None),
        ("klaxon.critical", ("default", [critical.notification_id], False), None),
    ]


def test_no_task_is_called_for_held_deliveries(recorder):
    send(send_at=clock.now() + timedelta(days=1))
    assert recorder.calls == []


def test_one_query_is_enough_for_any_number_of_notifications(recorder, ready, django_assert_num_queries):
    from notifications.celery.receiver import call_workers

    ids = [ready(priority=priority).notification_id for priority in (LOW, CRITICAL, LOW, MEDIUM)]
    with django_assert_num_queries(1):
        call_workers(partition="default", notification_ids=ids)
    assert recorder.calls == [
        ("klaxon.critical", ("default", [ids[1]], False), None),
        ("klaxon.medium", ("default", [ids[3]], True), None),
        ("klaxon.low", ("default", [ids[0], ids[2]], True), None),
    ]


def test_celery_can_be_switched_off_at_runtime(recorder, settings):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "CELERY": False}
    send()
    assert recorder.calls == []


def test_a_task_takes_a_slice_and_calls_its_successor(recorder, ready):
    from notifications.celery.tasks import dispatch

    sent = ready(250, priority=LOW)
    dispatch("default", [sent.notification_id])
    assert states() == {"sent": 100, "ready": 150}
    assert recorder.queues == ["klaxon.low"]
    dispatch("default", [sent.notification_id])
    dispatch("default", [sent.notification_id])
    assert states() == {"sent": 250}
    assert recorder.queues == ["klaxon.low"] * 2, "the last one has no successor"


def test_a_task_that_takes_too_long_stops_and_calls_its_successor(recorder, ready, monkeypatch):
    from notifications.celery import tasks

    sent = ready(5)
    monkeypatch.setattr(tasks, "MAX_TASK_SECONDS", 0)
    tasks.dispatch("default", [sent.notification_id])
    assert states() == {"ready": 5}
    assert recorder.queues == ["klaxon.high"]


def test_a_task_takes_a_batch_of_other_deliveries_unless_it_is_urgent(ready):
    from notifications.celery.tasks import dispatch

    ready(30, priority=LOW)
    urgent, other = ready(priority=CRITICAL), ready(priority=MEDIUM)
    dispatch("default", [urgent.notification_id], False)
    assert states() == {"sent": 1, "ready": 31}
    dispatch("default", [other.notification_id], True)
    assert states() == {"sent": 12, "ready": 20}


def test_a_sweep_delivers_a_batch_and_calls_the_workers_of_each_priority_for_the_rest(recorder, ready):
    from notifications.celery.tasks import sweep

    ready(120, priority=LOW)
    ready(12, priority=CRITICAL)
    sweep("default")
    assert states() == {"sent": 10, "ready": 122}
    assert recorder.queues == ["klaxon.critical", "klaxon.low", "klaxon.low"]
    assert {expires for *_, expires in recorder.calls} == {30}


def test_a_sweep_calls_no_task_for_paused_deliveries(recorder, ready):
    from notifications.celery.tasks import sweep

    ready(20)
    Pause.objects.create(channel="log", since="2026-01-01T00:00Z")
    sweep("default")
    assert recorder.calls == []
    Pause.objects.update(channel="*")
    sweep("default")
    assert recorder.calls == []


def test_a_sweep_delivers_due_deliveries(ready):
    from notifications.celery.tasks import sweep

    ready(3)
    with travelling() as time:
        Delivery.objects.update(state="retry", due_at=time())
        time.forward(seconds=1)
        sweep("default")
    assert states() == {"sent": 3}


def test_a_sweep_rescues_deliveries_of_a_lost_worker(ready):
    from notifications.celery.tasks import sweep

    ready(3)
    with travelling() as time:
        Delivery.objects.claim("lost", time(), 3)
        time.forward(seconds=1)
        sweep("default")
    # Each has a strike, so each is in a batch of its own.
    assert states() == {"sent": 3}


def test_an_unknown_partition_is_an_error_of_the_task(celery_app):
    from notifications.celery.tasks import dispatch, sweep

    for task in (dispatch, sweep):
        with pytest.raises(LookupError, match="mars"):
            task.apply(args=("mars", []) if task.name == dispatch.name else ("mars",)).get()


def test_an_eager_task_delivers_immediately_and_leaves_no_thread(celery_app):
    celery_app.conf.task_always_eager = True
    threads = threading.active_count()
    send(150)
    assert states() == {"sent": 150}
    assert threading.active_count() == threads
    assert not Heartbeat.objects.exists()


class TestNothingStarvesUnderAFlood:
    @pytest.fixture(autouse=True)
    def _little_is_looked_at(self, monkeypatch, recorder):
        from notifications.celery import calls

        monkeypatch.setattr(calls, "SWEEP_URGENT", 20)
        monkeypatch.setattr(calls, "SWEEP_OLDEST", 2)

    def test_a_sweep_also_calls_workers_for_the_oldest(self, recorder, ready):
        from notifications.celery.tasks import sweep

        old = [ready(priority=LOW).notification_id for _ in range(12)]
        for _ in range(8):
            ready(10, priority=CRITICAL)
        sweep("default")  # delivers a batch itself, randomly the ten oldest
        waiting = [pk for pk in old if Delivery.objects.filter(notification=pk, state="ready").exists()]
        assert ("klaxon.low", ("default", waiting[:2], True), 30.0) in recorder.calls
        assert "klaxon.critical" in recorder.queues

    def test_tasks_are_called_for_the_most_urgent_and_the_oldest_only(self, ready):
        from notifications.celery.calls import find_ready_notifications

        old = [ready(priority=LOW).notification_id for _ in range(4)]
        flood = [ready(10, priority=CRITICAL).notification_id for _ in range(3)]
        assert find_ready_notifications() == [*flood[:2], *old[:2]]

    def test_deliveries_that_wait_for_their_provider_take_no_place(self, ready):
        from notifications.celery.calls import find_ready_notifications

        ready(30, priority=CRITICAL)
        assert find_ready_notifications() != []
        Circuit.objects.create(
            key="log", opened_at=clock.now(), open_until=clock.now() + timedelta(hours=1), seconds=3600
        )
        assert find_ready_notifications() == []
