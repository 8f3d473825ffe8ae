"""Delivery through ``django.tasks``: what is enqueued, and what a task does. Needs Django 6.0."""

import json
import logging
import subprocess
import sys

import pytest
from django.core.management import call_command
from django.db import transaction

from notifications import signals
from notifications.events import NotificationPriority
from notifications.models import Delivery
from tests.celery.sending import send, states
from tests.processes import environment

pytestmark = [pytest.mark.needs("django.tasks"), pytest.mark.django_db(transaction=True)]
DUMMY = "django.tasks.backends.dummy.DummyBackend"
IMMEDIATE = "django.tasks.backends.immediate.ImmediateBackend"
FILE = "tests.tasks.backend.FileBackend"
CRITICAL, LOW, MEDIUM = NotificationPriority.CRITICAL, NotificationPriority.LOW, NotificationPriority.MEDIUM


@pytest.fixture
def use_backend(settings, monkeypatch):
    """Return a function that sets the backend of the tasks and connects the receiver, as ``ready()`` does."""

    def use_backend(path, **params):
        from django.tasks import task_backends

        from notifications.tasks import calls
        from notifications.tasks.receiver import call_workers

        settings.TASKS = {"default": {"BACKEND": path, **params}}
        settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "TASK_BACKEND": "default"}
        monkeypatch.setattr(calls.caller, "_paused_until", 0.0)
        monkeypatch.setattr(calls.caller, "_no_warning_until", 0.0)
        signals.notifications_queued.connect(call_workers, dispatch_uid="klaxon.tasks")
        return task_backends["default"]

    yield use_backend
    signals.notifications_queued.disconnect(dispatch_uid="klaxon.tasks")


def list_enqueued(backend):
    return [(one.task.queue_name, one.task.priority, one.args) for one in backend.results]


def test_a_task_carries_ids(use_backend):
    backend = use_backend(DUMMY)
    low, critical = send(2, priority=LOW), send(priority=CRITICAL)
    assert list_enqueued(backend) == [
        ("default", -25, ["default", [low.notification_id], True]),
        ("default", 50, ["default", [critical.notification_id], False]),
    ]
    assert states() == {"ready": 3}


def test_nothing_is_enqueued_before_the_commit_or_after_a_rollback(use_backend):
    backend = use_backend(DUMMY)
    with transaction.atomic():
        send()
        assert backend.results == []
    assert len(backend.results) == 1
    with transaction.atomic():
        send()
        transaction.set_rollback(True)
    assert len(backend.results) == 1


def test_a_large_send_enqueues_a_task_for_each_hundred_and_at_most_ten(use_backend):
    backend = use_backend(DUMMY)
    send(250)
    assert len(backend.results) == 3
    send(1200)
    assert len(backend.results) == 13


def test_a_priority_has_its_queue_if_the_backend_declares_it(use_backend):
    backend = use_backend(DUMMY, QUEUES=["default", "klaxon.critical"])
    send(priority=CRITICAL)
    send(priority=LOW)
    assert [queue for queue, *_ in list_enqueued(backend)] == ["klaxon.critical", "default"]


@pytest.mark.parametrize(("queues", "expected"), [([], "default"), (["mail", "slow"], "mail")])
def test_a_backend_can_have_other_queues(use_backend, queues, expected):
    from notifications.tasks.queues import find_queue

    assert find_queue(use_backend(DUMMY, QUEUES=queues), CRITICAL) == expected


def test_the_immediate_backend_delivers_what_was_queued(use_backend):
    use_backend(IMMEDIATE)
    send(3)
    assert states() == {"sent": 3}


def test_a_task_that_is_full_enqueues_its_successor(use_backend, tmp_path):
    backend = use_backend(FILE, OPTIONS={"PATH": tmp_path / "tasks"})
    send(1020, priority=MEDIUM)
    runs = 0
    while backend.run_one():
        runs += 1
    assert states() == {"sent": 1020}
    assert 11 <= runs <= 21


def test_a_worker_process_takes_the_most_urgent_task_first(use_backend, tmp_path, settings):
    backend = use_backend(FILE, OPTIONS={"PATH": str(tmp_path / "tasks")})
    send(120, priority=LOW)
    send(1, priority=CRITICAL)
    lines = [json.loads(line) for line in (tmp_path / "tasks").read_text().splitlines()]
    assert [line[0] for line in lines] == [-25, -25, 50]
    assert {line[2] for line in lines} == {"notifications.tasks.tasks.dispatch"}
    code = (
        "import django; from django.conf import settings; "
        f"settings.TASKS = {settings.TASKS!r}; settings.NOTIFICATIONS['TASK_BACKEND'] = 'default'; django.setup(); "
        "from django.tasks import task_backends; task_backends['default'].run_one()"
    )
    for sent in (1, 101):
        command = [sys.executable, "-W", "ignore", "-c", code]
        subprocess.run(command, env=environment(), check=True, timeout=120)
        assert states()["sent"] == sent
    assert backend.run_one()
    assert states() == {"sent": 121}


def test_a_task_that_runs_twice_or_late_sends_nothing_twice(use_backend):
    from notifications.tasks.tasks import dispatch

    use_backend(DUMMY)
    queued = send(3)
    for _ in range(2):
        dispatch.call("default", [queued.notification_id])
    assert states() == {"sent": 3}
    assert set(Delivery.objects.values_list("attempts", flat=True)) == {1}
    Delivery.objects.all().delete()
    dispatch.call("default", [queued.notification_id, 4711])


def test_if_a_task_cannot_be_enqueued_the_caller_gets_no_error_and_a_worker_delivers(use_backend, tmp_path, caplog):
    use_backend(FILE, OPTIONS={"PATH": str(tmp_path / "no folder" / "tasks")})
    assert send().queued == 1
    assert send().queued == 1
    warnings = [record.getMessage() for record in caplog.records if record.name == "notifications.tasks"]
    assert len(warnings) == 1
    assert warnings[0].startswith("The task backend accepts no task.")
    assert caplog.records[-1].levelno == logging.WARNING
    assert states() == {"ready": 2}
    call_command("dispatch_notifications")
    assert states() == {"sent": 2}


def test_a_task_does_nothing_while_klaxon_is_switched_off(use_backend, settings):
    from notifications.tasks.tasks import dispatch

    use_backend(DUMMY)
    queued = send()
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "ENABLED": False}
    dispatch.call("default", [queued.notification_id])
    assert states() == {"ready": 1}


def test_the_setting_connects_the_receiver():
    receivers = "from notifications.signals import notifications_queued as q; print('klaxon.tasks' in str(q.receivers))"
    for module, expected in (("tests.settings", "False"), ("tests.tasks.settings", "True")):
        command = [sys.executable, "-W", "ignore", "-c", f"import django; django.setup(); {receivers}"]
        env = environment(DJANGO_SETTINGS_MODULE=module)
        assert subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.strip() == expected
