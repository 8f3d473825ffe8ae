"""A process that is killed at any point of a step, and an acknowledgement that races it.

``KLAXON_KILLS`` and ``KLAXON_RACES`` set how often each happens.
"""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.contrib.auth.models import User
from django.db import connections

from notifications.escalation import engine, run_due
from notifications.events import NOTIFICATION_EVENTS, Escalation, Step
from notifications.manager import NotificationManager
from notifications.models import Delivery, EscalationRun, Notification
from tests.escalation.events import Alarms, make_event

pytestmark = pytest.mark.django_db(transaction=True)

KILLS = int(os.environ.get("KLAXON_KILLS", "2"))
RACES = int(os.environ.get("KLAXON_RACES", "4"))
STEPS = (Step(timedelta(), "user:supervisor"), Step(timedelta(hours=1), "user:supervisor"))


@pytest.fixture
def alarm(event):
    NOTIFICATION_EVENTS[Alarms.PUMP] = make_event(escalation=Escalation(STEPS))
    ward, _supervisor = (User.objects.create_user(name, f"{name}@example.com") for name in ("ward", "supervisor"))

    def send():
        context = {"message": "Pump 3 has stopped.", "title": None}
        result = NotificationManager.send(Alarms.PUMP, [ward], context=context)
        return Notification.objects.get(pk=result.notification_id)

    return send


def die(*_args, **_options):
    os.kill(os.getpid(), signal.SIGKILL)


def dying_after(function):
    def wrapper(*args, **options):
        function(*args, **options)
        die()

    return wrapper


BOUNDARIES = {
    "before the send": (engine, "send_page", lambda _: die),
    "after the send": (engine, "send_page", dying_after),
    "after the entry": (engine, "note", dying_after),
    "before the commit": (EscalationRun, "save", dying_after),
    "after the commit": (engine, "_run_next", dying_after),
}


def run_and_die(boundary):
    """Run the engine in a process of its own, which is killed at a boundary."""
    # The child opens connections of its own.
    connections.close_all()
    child = os.fork()
    if child == 0:
        owner, name, wrap = BOUNDARIES[boundary]
        setattr(owner, name, wrap(getattr(owner, name)))
        try:
            run_due()
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def count_pages(first):
    return Notification.objects.filter(escalates=first.pk).count()


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_killed_process_loses_and_repeats_no_step(alarm, boundary):
    for _ in range(KILLS):
        first = alarm()
        run_and_die(boundary)
        run = first.escalation_run
        # All of the step has happened, or nothing.
        is_done = boundary == "after the commit"
        assert (count_pages(first), run.position) == ((1, 1) if is_done else (0, 0))
        assert list(run.entries.values_list("kind", flat=True)) == ["started", *["sent"] * is_done]
        run_due()
        assert count_pages(first) == 1
        assert Delivery.objects.filter(notification__escalates=first.pk).count() == 2
        assert run_due().sent == 0


def in_own_connection(barrier, work):
    try:
        barrier.wait(10)
        work()
    finally:
        connections.close_all()


def race(*works):
    barrier = Barrier(len(works))
    with ThreadPoolExecutor(len(works)) as pool:
        for future in [pool.submit(in_own_connection, barrier, work) for work in works]:
            future.result(60)


def test_an_acknowledgement_races_a_step(alarm):
    ward = User.objects.get(username="ward")
    for _ in range(RACES):
        first = alarm()
        race(run_due, lambda first=first: NotificationManager.acknowledge(first, ward))
        run = EscalationRun.objects.get(notification=first)
        assert run.state == "acknowledged"
        assert count_pages(first) <= 1
        EscalationRun.objects.filter(pk=run.pk, due_at__isnull=False).delete()
        assert run_due().sent == 0


def test_workers_that_race_send_each_step_once(alarm):
    firsts = [alarm() for _ in range(RACES)]
    race(run_due, run_due, run_due)
    assert [count_pages(first) for first in firsts] == [1] * RACES
