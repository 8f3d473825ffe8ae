"""Settings of the benchmarks: a discarding logger, a channel to the witness, and email to a local port."""

import json
import os

from example_project.mail import make_email_settings
from tests.databases import database

SECRET_KEY = "only-for-benchmarks"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
DATABASES = {"default": database()}
# A second database, for the benchmark that compares a small outbox with a large one.
DATABASES["large"] = {**DATABASES["default"], "NAME": f"{DATABASES['default']['NAME']}_large"}
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "notifications",
    "benchmarks",
    "post_office",
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
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
ALLOWED_HOSTS = ["*"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_FROM_EMAIL = "The shop <shop@example.com>"
vars().update(
    make_email_settings({"EMAIL_HOST": "127.0.0.1", "EMAIL_PORT": int(os.environ.get("BENCH_SMTP_PORT", "25"))})
)
LOGGING_CONFIG = None
ROOT_URLCONF = "benchmarks.urls"
STATIC_URL = "/static/"
NOTIFICATIONS = {
    "RETENTION": json.loads(os.environ.get("BENCH_RETENTION", "{}")),
    "BASE_URL": "https://shop.example.com",
    "CHANNELS": {
        "app": {"ENABLED": False},
        "log": {"OPTIONS": {"logger": "benchmarks.discard"}},
        "memo": {"BACKEND": "notifications.channels.log.LogChannel", "OPTIONS": {"logger": "benchmarks.memo"}},
        "wire": {
            "BACKEND": "benchmarks.wire.WireChannel",
            "OPTIONS": {"port": int(os.environ.get("BENCH_WITNESS_PORT", "0"))},
        },
    },
}
POST_OFFICE = {
    "BATCH_SIZE": int(os.environ.get("BENCH_POST_OFFICE_BATCH", "100")),
    "THREADS_PER_PROCESS": int(os.environ.get("BENCH_POST_OFFICE_THREADS", "5")),
}
