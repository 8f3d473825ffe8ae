"""The heartbeat of a worker process, and locks of others."""

import threading
import time
from contextlib import contextmanager

import pytest
from django.db import OperationalError, connection

from notifications.delivering.dispatcher import Dispatcher
from notifications.delivering.workers.heartbeat import HeartbeatThread
from notifications.manager import NotificationManager
from notifications.models import Delivery, Heartbeat
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

SECONDS_OF_LOCK = 0.5


@pytest.fixture(autouse=True)
def short_beats(settings, transactional_db):
    settings.NOTIFICATIONS = {"BEAT_SECONDS": 0.05}


@contextmanager
def locked_by_another():
    """Lock the table of heartbeats until the returned function is called or the block ends."""
    other = connection.copy()
    other.inc_thread_sharing()
    with other.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("BEGIN IMMEDIATE")
        else:
            cursor.execute("BEGIN")
            cursor.execute("LOCK TABLE klaxon_heartbeat IN EXCLUSIVE MODE")
    try:
        yield other.close
    finally:
        other.close()


def test_the_first_heartbeat_waits_for_a_lock_like_any_statement():
    with locked_by_another() as release:
        timer = threading.Timer(SECONDS_OF_LOCK, release)
        timer.start()
        with HeartbeatThread():
            assert Heartbeat.objects.count() == 1
        timer.join()


def test_a_later_heartbeat_waits_at_most_until_the_next():
    heartbeat = HeartbeatThread()
    heartbeat.register()
    with locked_by_another(), pytest.raises(OperationalError):
        heartbeat.beat()


@pytest.fixture
def late_heartbeat(settings):
    """A heartbeat whose process was suspended until now: the next one comes in a moment."""
    settings.NOTIFICATIONS = {"BEAT_SECONDS": 0.3, "LEASE_SECONDS": 2}
    NotificationManager.send(ShopEvents.STORE_ON_FIRE, [UserFactory()], None, {"place": "here"}, channels=["app"])
    with HeartbeatThread() as heartbeat:
        heartbeat._last_beat -= 10
        yield heartbeat


def test_a_late_heartbeat_does_not_look_like_an_empty_outbox(late_heartbeat):
    assert not late_heartbeat.is_healthy()
    Dispatcher(heartbeat=late_heartbeat).run_until_idle()
    assert Delivery.objects.get().state == "sent"


def test_a_heartbeat_that_does_not_come_is_not_waited_for_long(late_heartbeat):
    late_heartbeat._stopped.set()
    began = time.monotonic()
    assert Dispatcher(heartbeat=late_heartbeat).run_batch() == (0, {})
    assert 0.5 < time.monotonic() - began < 2
    assert Delivery.objects.get().state == "ready"


def test_a_stop_ends_the_wait_for_a_late_heartbeat(late_heartbeat):
    late_heartbeat._stopped.set()
    began = time.monotonic()
    assert Dispatcher(stop=lambda: True, heartbeat=late_heartbeat).run_batch() == (0, {})
    assert time.monotonic() - began < 0.5
