"""The worker: commits wake it, signals stop it, and nothing else ends it."""

import signal
import threading
import time

import pytest
from django.core.management import call_command
from django.db import OperationalError, transaction

from notifications.delivering.dispatcher import Dispatcher
from notifications.delivering.workers.wake_up import Waker
from notifications.delivering.workers.worker import Worker
from notifications.manager import NotificationManager
from notifications.models import Delivery
from tests.factories import UserFactory
from tests.processes import finished, smtp_ledger, start, until
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db(transaction=True)


def refuse_order(user=None):
    return NotificationManager.send(ShopEvents.ORDER_REFUSED, user or UserFactory(), None, {})


def all_sent():
    return Delivery.objects.exists() and not Delivery.objects.exclude(state="sent").exists()


@pytest.fixture
def watching():
    """A worker in a thread, with an idle time so long that only a wake-up can explain what it does."""
    workers = []

    def begin(**options):
        worker = Worker(workers=2, idle=30, error_pause=0.05, **options)
        thread = threading.Thread(target=worker.watch)
        thread.start()
        workers.append((worker, thread))
        return worker

    yield begin
    for worker, thread in workers:
        worker.stop()
        thread.join(timeout=20)
        assert not thread.is_alive()


def test_a_single_run_empties_the_outbox_and_prints_a_summary(capsys):
    refuse_order()
    call_command("dispatch_notifications")
    assert "1 delivery: 1 sent." in capsys.readouterr().out
    call_command("dispatch_notifications")
    assert "Nothing was ready to send." in capsys.readouterr().out


def test_a_commit_wakes_a_waiting_worker(watching):
    user = UserFactory()
    watching()
    time.sleep(1)  # let it find nothing and wait
    refuse_order(user)
    began = time.monotonic()
    until(all_sent)
    assert time.monotonic() - began < 5, "it was not woken: it would have waited for thirty seconds"


def test_a_rollback_wakes_nobody():
    user = UserFactory()
    waker = Waker()
    waker.wait(0.2, lambda: False)
    with transaction.atomic():
        refuse_order(user)
        transaction.set_rollback(True)
    began = time.monotonic()
    waker.wait(0.5, lambda: False)
    assert time.monotonic() - began >= 0.5
    waker.close()
    assert not Delivery.objects.exists()


def test_an_error_in_the_loop_pauses_and_never_ends_the_worker(watching, monkeypatch, caplog):
    failures = [OperationalError("the database went away")] * 3
    original = Dispatcher.run_batch

    def flaky(self, *args, **kwargs):
        if failures:
            raise failures.pop()
        return original(self, *args, **kwargs)

    monkeypatch.setattr(Dispatcher, "run_batch", flaky)
    worker = watching()
    refuse_order()
    until(all_sent)
    assert worker.errors == 3
    assert "the database went away" in caplog.text


def test_due_deliveries_are_sent_without_a_commit():
    worker = Worker(workers=1, idle=0.1)
    thread = threading.Thread(target=worker.watch)
    thread.start()
    refuse_order()
    until(all_sent)
    worker.stop()
    thread.join(timeout=10)
    assert worker.tally == {"sent": 1}


def test_sigterm_ends_a_watching_process_in_order(tmp_path):
    NotificationManager.send(ShopEvents.NEWSLETTER, UserFactory.create_batch(5))
    with smtp_ledger(tmp_path / "ledger") as port:
        worker = start("dispatch_notifications", "--watch", "--workers", "2", port=port)
        until(all_sent)
        worker.send_signal(signal.SIGTERM)
        assert "5 deliveries: 5 sent." in finished(worker, timeout=20)
    assert not Delivery.objects.exclude(owner="").exists()


def test_immediate_delivery_happens_after_the_commit(settings):
    settings.NOTIFICATIONS = {"CHANNELS": {"log": {}}, "DELIVERY": "immediate"}
    with transaction.atomic():
        refuse_order()
        assert Delivery.objects.get().state == "ready"
    assert Delivery.objects.get().state == "sent"


def test_immediate_delivery_takes_at_most_25_and_leaves_the_rest_to_a_worker(settings):
    settings.NOTIFICATIONS = {"CHANNELS": {"log": {}}, "DELIVERY": "immediate"}
    NotificationManager.send(ShopEvents.ORDER_REFUSED, UserFactory.create_batch(30), None, {})
    assert Delivery.objects.filter(state="sent").count() == 25
    assert Delivery.objects.filter(state="ready").count() == 5


def test_immediate_delivery_never_raises_into_the_caller(settings, monkeypatch, caplog):
    settings.NOTIFICATIONS = {"CHANNELS": {"log": {}}, "DELIVERY": "immediate"}
    monkeypatch.setattr(Dispatcher, "run_batch", lambda *args: 1 / 0)
    assert refuse_order().queued == 1
    assert "Immediate delivery failed" in caplog.text
    assert Delivery.objects.get().state == "ready"
