"""Settings of a site that serves one coach: those of the example site, with the limits of the coach.

Use ``DJANGO_SETTINGS_MODULE=example_project.coach.settings``. The example site also serves other apps, which have other
limits.
"""

from example_project.coach import limits
from example_project.settings import *  # noqa: F403 - all other settings
from example_project.settings import NOTIFICATIONS as SITE_NOTIFICATIONS
from example_project.settings import env
from notifications.conf import from_env

NOTIFICATIONS = {**SITE_NOTIFICATIONS, "LIMITS": limits.LIMITS, **from_env(env)}
