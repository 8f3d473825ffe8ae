"""A site on which nothing is installed but django-klaxon: email, an inbox and templates."""

from pathlib import Path

from example_project.mail import make_email_settings
from tests.databases import database

SECRET_KEY = "only-for-tests"
USE_TZ = True
ROOT_URLCONF = "tests.bare.urls"
LOGIN_URL = "/admin/login/"
STATIC_URL = "/static/"
DATABASES = {"default": database()}
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "notifications",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "DIRS": [Path(__file__).parent / "templates"],
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DEFAULT_FROM_EMAIL = "shop@example.com"
vars().update(make_email_settings({"EMAIL_BACKEND": "django.core.mail.backends.locmem.EmailBackend"}))
