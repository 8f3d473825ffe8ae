"""Settings with a task backend, for Django 6.0 and later. The database backend is a small one of these tests."""

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS as SUITE_APPS

INSTALLED_APPS = [name for name in SUITE_APPS if not name.startswith("example_project.")]
NOTIFICATIONS = {"TASK_BACKEND": "klaxon", "CHANNELS": {"log": {}}, "BASE_URL": "https://shop.example.com"}
TASKS = {
    "default": {"BACKEND": "django.tasks.backends.dummy.DummyBackend"},
    "klaxon": {"BACKEND": "django.tasks.backends.dummy.DummyBackend"},
}
