"""The setting ``CELERY``. While it is off, Celery is not imported."""

import subprocess
import sys

import pytest

from notifications import celery, checks, conf
from notifications.celery.queues import QUEUES
from notifications.celery.schedule import beat_schedule
from notifications.delivering.calls import takes_other_deliveries
from notifications.events import NotificationPriority
from tests.processes import environment


def run(code, **env):
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"import sys, django; django.setup(); {code}"],
        env=environment(**env), capture_output=True, text=True, timeout=60, check=True,
    ).stdout.strip()  # fmt: skip


RECEIVERS = "from notifications.signals import notifications_queued as q; print('klaxon.celery' in str(q.receivers))"


@pytest.mark.django_db
def test_celery_is_not_imported_until_it_is_switched_on():
    names = "{name.partition('.')[0] for name in sys.modules}"
    assert run(f"import notifications.celery.schedule; print({{'celery', 'kombu'}} & {names})") == "set()"


@pytest.mark.django_db
@pytest.mark.needs("celery")
def test_the_setting_connects_the_receiver():
    assert run(RECEIVERS) == "False"
    assert run(RECEIVERS, DJANGO_SETTINGS_MODULE="tests.celery.settings") == "True"


@pytest.mark.django_db
def test_without_the_extra_the_site_starts_and_the_check_says_what_to_install(settings, monkeypatch):
    monkeypatch.setitem(sys.modules, "celery", None)
    settings.NOTIFICATIONS = {"CELERY": True}
    assert not celery.is_enabled()
    [error] = checks.check_celery()
    assert (error.id, error.hint) == ("klaxon.E005", "Install it with: pip install 'django-klaxon[celery]'")


def test_celery_is_off_by_default_and_with_invalid_settings(settings):
    assert not celery.is_enabled()
    settings.NOTIFICATIONS = {"CELERY": True, "BATCH_SIZE": 0}
    assert not celery.is_enabled()
    assert list(checks.check_settings())


@pytest.mark.needs("celery")
def test_celery_is_enabled_if_it_is_on_and_installed(settings):
    settings.NOTIFICATIONS = {"CELERY": True}
    assert celery.is_enabled()


def test_the_setting_must_be_a_boolean(settings):
    settings.NOTIFICATIONS = {"CELERY": "yes"}
    assert [problem.hint for problem in conf.problems()] == ["It must be True or False."]


def test_the_schedule_has_a_sweep_for_each_partition():
    assert beat_schedule(every=60) == {
        "klaxon.sweep.default": {
            "task": "notifications.celery.tasks.sweep",
            "schedule": 60,
            "args": ("default",),
            "options": {"queue": "klaxon.high", "expires": 60},
        }
    }


def test_only_workers_of_less_urgent_queues_take_other_deliveries():
    assert list(QUEUES) == list(NotificationPriority)
    assert [takes_other_deliveries(priority) for priority in QUEUES] == [False, False, True, True]
