"""Batches: the deliveries that a worker claims together, and those that it gives back."""

import pytest
from django.db import OperationalError

from notifications import signals
from notifications.delivering.dispatcher import Dispatcher
from notifications.delivering.workers.heartbeat import HeartbeatThread
from notifications.events import NotificationPriority
from notifications.manager import NotificationManager
from notifications.models import Delivery
from notifications.outcomes import Verdict
from notifications.testing import travelling
from tests.delivering.scripted import dispatch, get_delivery, refuse_orders
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db


def test_a_delivery_with_strikes_is_sent_alone(scripted_channel):
    refuse_orders(3)
    Delivery.objects.filter(pk=Delivery.objects.first().pk).update(strikes=1)
    groups = []
    original = scripted_channel.send
    scripted_channel.send = lambda self, messages: groups.append(len(messages)) or original(self, messages)
    try:
        dispatch()
    finally:
        scripted_channel.send = original
    assert sorted(groups) == [1, 2]


def test_a_stop_gives_back_deliveries_that_were_not_begun(scripted_channel):
    refuse_orders(30)
    answers = iter([False, False, True])
    assert dispatch(batch_size=30, stop=lambda: next(answers, True)) == {"sent": 10}
    assert Delivery.objects.filter(state="ready", owner="", strikes=0).count() == 20


def test_signals_of_outcomes_are_sent_after_the_commit(scripted_channel, django_capture_on_commit_callbacks):
    received = []
    sent = lambda delivery, **kwargs: received.append(("sent", delivery.pk))  # noqa: E731
    failed = lambda delivery, **kwargs: received.append(("failed", delivery.pk))  # noqa: E731
    signals.delivery_sent.connect(sent)
    signals.delivery_failed.connect(failed)
    scripted_channel.answers = [Verdict.ACCEPTED, Verdict.PERMANENT]
    refuse_orders(2)
    with django_capture_on_commit_callbacks(execute=True):
        dispatch()
    first, second = Delivery.objects.order_by("pk")
    assert received == [("sent", first.pk), ("failed", second.pk)]


def test_the_number_of_queries_does_not_depend_on_the_size_of_a_batch(django_assert_max_num_queries):
    users = UserFactory.create_batch(50)
    NotificationManager.send(ShopEvents.ORDER_SHIPPED, users, None, {"order_number": "7"}, channels=["app"])
    # On SQLite, an INSERT has room for less than 50 inbox items, and the figures are a statement of their own.
    with django_assert_max_num_queries(23):
        assert Dispatcher().run_batch(50)[0] == 50


def test_only_deliveries_of_a_channel_that_cannot_be_created_wait(settings, caplog):
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


def test_a_delivery_that_stopped_a_worker_is_claimed_alone(scripted_channel):
    refuse_orders(3)
    struck = Delivery.objects.order_by("pk")[1]
    Delivery.objects.filter(pk=struck.pk).update(strikes=1)
    dispatcher = Dispatcher()
    claimed, tally = dispatcher.run_batch(10)
    assert (claimed, tally) == (2, {"sent": 2})
    assert dispatcher.run_batch(10) == (1, {"sent": 1})
    assert len(scripted_channel.given) == 3


def test_leases_of_a_failed_batch_are_not_renewed(scripted_channel, monkeypatch):
    refuse_orders()
    heartbeat = HeartbeatThread()
    renewed = []

    def fails(self, claimed, now):
        renewed.append(heartbeat._renewed_ids())
        raise OperationalError("the database went away")

    monkeypatch.setattr(Dispatcher, "_process_batch", fails)
    with pytest.raises(OperationalError):
        Dispatcher(heartbeat=heartbeat).run_batch(10)
    assert renewed == [[get_delivery().pk]]
    assert heartbeat._renewed_ids() == []


def test_single_runs_send_old_deliveries_during_a_flood_of_urgent_ones(settings):
    """A run takes the oldest with a probability of 1/10. The probability that 150 runs never do is 1.4e-7."""
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
