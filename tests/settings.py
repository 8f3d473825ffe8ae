"""Settings of the test suite: an ordinary site with one tenant model, Klaxon's own."""

import json
import os

from example_project.mail import make_email_settings
from tests.databases import database

SECRET_KEY = "only-for-tests"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tests.urls"
DATABASES = {"default": database()}
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "notifications",
    "tests.shop",
    "example_project.estate",
    "example_project.coach",
    "example_project.quality",
    "example_project.residency",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
NOTIFICATIONS_CLUSTER_MODEL = "klaxon.Cluster"
STATIC_URL = "/static/"
LOGIN_URL = "/admin/login/"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_FROM_EMAIL = "shop@example.com"
vars().update(
    make_email_settings(
        {
            "EMAIL_BACKEND": os.environ.get("KLAXON_EMAIL_BACKEND", "django.core.mail.backends.locmem.EmailBackend"),
            "EMAIL_HOST": "127.0.0.1",
            "EMAIL_PORT": int(os.environ.get("KLAXON_EMAIL_PORT", "25")),
        }
    )
)
NOTIFICATIONS = {
    "CHANNELS": {"log": {}},
    "BASE_URL": "https://shop.example.com",
    "SPOOL_DIR": os.environ.get("KLAXON_SPOOL_DIR", ""),
    # What a process of a test needs otherwise, as JSON.
    **json.loads(os.environ.get("KLAXON_NOTIFICATIONS", "{}")),
}
