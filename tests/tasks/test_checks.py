"""The setting ``TASK_BACKEND`` and its check, with every Django."""

import pytest
from django.core.checks import Error

from notifications import checks, tasks


def set_backend(settings, name):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "TASK_BACKEND": name}


def test_it_is_off_by_default(settings):
    assert not tasks.is_enabled()
    assert list(checks.check_tasks()) == []


def test_an_older_django_is_reported(settings, monkeypatch):
    monkeypatch.setattr("notifications.checks.tasks.has_django_tasks", lambda: False)
    set_backend(settings, "default")
    [error] = checks.check_tasks()
    assert isinstance(error, Error)
    assert (error.id, error.hint[:32]) == ("klaxon.E038", "Install Django 6.0 or later, whi")


def test_without_django_tasks_nothing_is_enabled(settings, monkeypatch):
    monkeypatch.setattr(tasks, "has_django_tasks", lambda: False)
    set_backend(settings, "default")
    assert not tasks.is_enabled()


@pytest.mark.needs("django.tasks")
def test_an_unknown_backend_is_reported(settings):
    set_backend(settings, "defalut")
    [error] = checks.check_tasks()
    assert (error.id, error.hint) == ("klaxon.E038", "Did you mean 'default'?")
    set_backend(settings, "default")
    assert list(checks.check_tasks()) == []
    assert tasks.is_enabled()


@pytest.mark.parametrize("value", [True, None, 1])
def test_it_must_be_a_name(settings, value):
    set_backend(settings, value)
    [problem] = checks.check_settings()
    assert "NOTIFICATIONS['TASK_BACKEND']" in problem.msg
