"""Immediate delivery: its limits apply to each commit."""

import threading
import time

import pytest
from asgiref.sync import async_to_sync
from django.db import connections, transaction

from notifications.channels import BaseChannel
from notifications.delivering import on_commit
from notifications.manager import NotificationManager
from notifications.models import Delivery
from notifications.outcomes import Receipt, Verdict
from notifications.signals import delivery_sent
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db(transaction=True)


class SlowChannel(BaseChannel):
    """Takes 0.2 seconds for each message."""

    def prepare(self, delivery, rendered):
        return delivery.pk

    def send(self, messages):
        for message in messages:
            time.sleep(0.2)
            yield Receipt(message, Verdict.ACCEPTED)


@pytest.fixture(autouse=True)
def immediate_delivery(settings):
    settings.NOTIFICATIONS = {"CHANNELS": {"log": {}}, "DELIVERY": "immediate"}


@pytest.fixture
def slow(settings, monkeypatch):
    """Use a slow channel, and allow one second for all deliveries of a commit."""
    settings.NOTIFICATIONS = {"CHANNELS": {"log": {"BACKEND": f"{__name__}.SlowChannel"}}, "DELIVERY": "immediate"}
    monkeypatch.setattr(on_commit, "MAX_SECONDS", 1.0)


def send(count=1):
    return NotificationManager.send(ShopEvents.ORDER_REFUSED, UserFactory.create_batch(count), None, {})


def sent():
    return Delivery.objects.filter(state="sent").count()


def test_three_sends_in_one_transaction_share_the_deliveries():
    with transaction.atomic():
        for _ in range(3):
            send(20)
    assert sent() == 25
    assert Delivery.objects.filter(state="ready", owner="").count() == 35


def test_three_sends_in_one_transaction_share_the_seconds(slow):
    begin = time.monotonic()
    with transaction.atomic():
        for _ in range(3):
            send(7)
    assert time.monotonic() - begin < 2.5
    assert 1 <= sent() <= 6


def test_the_time_of_other_callbacks_does_not_count(slow):
    with transaction.atomic():
        send()
        transaction.on_commit(lambda: time.sleep(1.2))
        send()
    assert sent() == 2


def test_each_transaction_has_a_budget_of_its_own():
    for _ in range(2):
        with transaction.atomic():
            send(15)
            send(15)
    assert sent() == 50


def test_each_send_outside_a_transaction_is_a_commit_of_its_own():
    send(20)
    send(20)
    assert sent() == 40


def test_nested_blocks_are_one_commit():
    with transaction.atomic():
        send(20)
        with transaction.atomic():
            send(20)
    assert sent() == 25


@pytest.mark.parametrize("undone_first", [True, False])
def test_a_savepoint_that_is_rolled_back_uses_nothing_up(undone_first):
    def undone():
        with transaction.atomic():
            send(20)
            transaction.set_rollback(True)

    with transaction.atomic():
        if undone_first:
            undone()
        send(20)
        if not undone_first:
            undone()
        send(20)
    assert sent() == 25


def test_a_transaction_that_is_rolled_back_does_not_affect_the_next():
    with transaction.atomic():
        send(20)
        transaction.set_rollback(True)
    with transaction.atomic():
        send(30)
    assert sent() == 25


def test_sends_in_a_callback_of_the_commit_are_commits_of_their_own():
    with transaction.atomic():
        send(20)
        transaction.on_commit(lambda: send(20))
        send(20)
    assert sent() == 45


def test_a_send_in_a_receiver_of_delivery_sent_shares_the_budget():
    """Otherwise two events that cause each other would never return to the caller."""
    again = lambda **fact: send()  # noqa: E731
    delivery_sent.connect(again)
    try:
        send()
    finally:
        delivery_sent.disconnect(again)
    assert sent() == 25
    assert Delivery.objects.filter(state="ready").count() == 1


def test_threads_share_nothing():
    def work():
        try:
            with transaction.atomic():
                send(15)
                send(15)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sent() == 50


def test_asend_has_the_same_limit():
    users = UserFactory.create_batch(30)
    async_to_sync(NotificationManager.asend)(ShopEvents.ORDER_REFUSED, users, None, {})
    assert sent() == 25


def test_a_dispatcher_that_cannot_be_created_raises_nothing_in_the_caller(monkeypatch, caplog):
    monkeypatch.setattr(on_commit, "Dispatcher", lambda **options: 1 / 0)
    assert send().queued == 1
    assert "Immediate delivery failed" in caplog.text
