"""The settings of a host with a user model of its own, whose key is a UUID."""

from pathlib import Path

from tests.live_site.settings import MIDDLEWARE, TEMPLATES
from tests.tenant_site.settings import *  # noqa: F403
from tests.tenant_site.settings import INSTALLED_APPS, NOTIFICATIONS

INSTALLED_APPS = [
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    *INSTALLED_APPS,
]
MIDDLEWARE = MIDDLEWARE
TEMPLATES = [{**TEMPLATES[0], "DIRS": [Path(__file__).with_name("templates")]}]
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.AllowAllUsersModelBackend"]
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tests.live_site.urls_without_admin"
STATIC_URL = "/static/"
LOGIN_URL = "/login/"
NOTIFICATIONS = NOTIFICATIONS
