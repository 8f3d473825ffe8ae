"""The settings of the host: those of the suite, with pages of its own and a strict Content Security Policy."""

import json
import os
from pathlib import Path

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS, MIDDLEWARE, NOTIFICATIONS, TEMPLATES

DEBUG = False
ROOT_URLCONF = "tests.live_site.urls"
MIDDLEWARE = ["tests.live_site.policy.strict_policy", *MIDDLEWARE, "django.middleware.locale.LocaleMiddleware"]
TEMPLATES = [{**TEMPLATES[0], "DIRS": [Path(__file__).with_name("templates")]}]
INSTALLED_APPS = [*INSTALLED_APPS, "tests.live_site"]
USE_I18N = True
# Other settings of a test, as JSON.
vars().update(json.loads(os.environ.get("KLAXON_SETTINGS", "{}")))
NOTIFICATIONS = {**NOTIFICATIONS, "LIVE_REDIS": os.environ.get("KLAXON_LIVE_REDIS", "")}
