"""Settings of the Celery workers: the same site, with a broker that may be lost at any moment."""

import os

from notifications.celery.schedule import beat_schedule
from tests.chaos.settings import *  # noqa: F403 - a settings file
from tests.chaos.settings import NOTIFICATIONS

NOTIFICATIONS = {**NOTIFICATIONS, "CELERY": True}
CELERY_BROKER_URL = os.environ["KLAXON_BROKER"]
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": int(os.environ.get("KLAXON_VISIBILITY", "3600")),
    # Look each second for what has been invisible for too long, not each hundred.
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_BEAT_SCHEDULE = beat_schedule(every=float(os.environ.get("KLAXON_SWEEP_EVERY", "1")))
