"""Delivery through ``django.tasks`` (Django 6.0 and later): a task of the site's own backend carries ids.

As with Celery, a task is a call to look into the outbox, and the claims in the outbox decide who delivers what. No
module here imports ``django.tasks`` until a site has switched it on.
"""

from notifications import conf
from notifications.core import extras


def is_enabled() -> bool:
    """Return whether the site has switched it on and can use it. If it cannot, the system checks say why."""
    return not any(conf.problems()) and bool(conf.current().task_backend) and has_django_tasks()


def has_django_tasks() -> bool:
    """Return whether this Django has ``django.tasks``."""
    return extras.is_installed("django.tasks")
