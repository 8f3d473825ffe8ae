"""The settings of a coach on the road: those of the example site, with the limits of the coach.

``DJANGO_SETTINGS_MODULE=example_project.coach.settings``. The example site itself serves other apps besides, which have
limits of their own.
"""

from example_project.coach import limits
from example_project.settings import *  # noqa: F403 - everything else is the same
from example_project.settings import NOTIFICATIONS as OF_THE_SITE
from example_project.settings import env
from notifications.conf import from_env

NOTIFICATIONS = {**OF_THE_SITE, "LIMITS": limits.LIMITS, **from_env(env)}
