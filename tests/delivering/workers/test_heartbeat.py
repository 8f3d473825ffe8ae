"""The heartbeat of a worker process, and locks of others."""

import threading
from contextlib import contextmanager

import pytest
from django.db import OperationalError, connection

from notifications.delivering.workers.heartbeat import HeartbeatThread
from notifications.models import Heartbeat

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
