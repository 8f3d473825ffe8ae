"""Settings of the example site, whose apps use only Klaxon's public interface.

Values that differ between machines are read from the environment by django-environ: ``DATABASE_URL``, ``SECRET_KEY``,
``DEBUG``, ``EMAIL_URL``, ``NOTIFICATIONS_…``. Without them the site runs on SQLite.
"""

from pathlib import Path

import environ

from example_project.coach.limits import QUEUE_LIMIT
from example_project.mail import make_email_settings
from example_project.residency.windows import LIMITS
from notifications.conf import from_env
from notifications.sqlite import tuned

BASE_DIR = Path(__file__).resolve().parent.parent
VAR = BASE_DIR / "var"
VAR.mkdir(exist_ok=True)

env = environ.Env()
env.read_env(BASE_DIR / ".env")

SECRET_KEY = env("SECRET_KEY", default="placeholder-for-development-only")
DEBUG = env.bool("DEBUG", default=True)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost"])

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "notifications",
    "example_project.estate",
    "example_project.coach",
    "example_project.quality",
    "example_project.residency",
    "example_project.demo",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
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
ROOT_URLCONF = "example_project.urls"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "notifications:inbox"
STATIC_URL = "/static/"
USE_TZ = True
TIME_ZONE = env("TIME_ZONE", default="UTC")
LANGUAGE_CODE = "en"

DATABASES = {"default": env.db_url("DATABASE_URL", default=f"sqlite:///{VAR / 'example.sqlite3'}")}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # Several processes write to the outbox. Without these options they get "database is locked" errors.
    DATABASES["default"] |= tuned(DATABASES["default"]["NAME"])

vars().update(make_email_settings(env.email_url("EMAIL_URL", default="consolemail://")))
DEFAULT_FROM_EMAIL = "office@estate.example"

STAND_INS = "example_project.quality.channels"
NOTIFICATIONS = {
    "CHANNELS": {
        "log": {},
        # Stand-ins, which write messages to files.
        "websocket": {"BACKEND": f"{STAND_INS}.LiveStandIn", "OPTIONS": {"file": VAR / "websocket.jsonl"}},
        "sms": {"BACKEND": f"{STAND_INS}.TextStandIn", "OPTIONS": {"file": VAR / "sms.jsonl"}},
        "webhook": {"BACKEND": f"{STAND_INS}.HookStandIn", "OPTIONS": {"file": VAR / "webhook.jsonl"}},
        "slack": {"BACKEND": f"{STAND_INS}.HookStandIn", "OPTIONS": {"file": VAR / "slack.jsonl"}},
    },
    "BASE_URL": "http://127.0.0.1:8000",
    "LIMITS": LIMITS,
    "DIGEST_SECTIONS": "example_project.residency.digests.sections",
    "CAN_RULES": [BASE_DIR / "example_project/coach/rules.toml"],
    # For a moving coach: the outbox has a limit.
    "QUEUE_LIMIT": QUEUE_LIMIT,
    "QUEUE_FULL": "shed",
    "SPOOL_DIR": VAR / "spool",
    **from_env(env),
}
