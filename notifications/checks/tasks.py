"""Checks of delivery through ``django.tasks``."""

from collections.abc import Iterator

import django
from django.conf import settings
from django.core.checks import CheckMessage, Error

from notifications import conf
from notifications.conf.problem import suggest
from notifications.tasks import has_django_tasks

SETTING = "NOTIFICATIONS['TASK_BACKEND']"


def check_tasks() -> Iterator[CheckMessage]:
    """Report why no task can be enqueued, if the site has named a task backend."""
    name = conf.current().task_backend
    if not name:
        return
    if not has_django_tasks():
        yield Error(
            f"{SETTING} is {name!r}, but Django {django.get_version()} has no django.tasks.",
            hint="Install Django 6.0 or later, which needs Python 3.12, or set it to an empty text. Without it, run "
            "dispatch_notifications or Celery.",
            id="klaxon.E038",
        )
    elif name not in settings.TASKS:
        yield Error(
            f"{SETTING} is {name!r}, which Django's setting TASKS does not contain.",
            hint=suggest(name, settings.TASKS, "task backends"),
            id="klaxon.E038",
        )
