"""Settings of the workers that tests start: Celery is on, and the log channel keeps a ledger."""

import os

from notifications.celery.schedule import beat_schedule
from tests.settings import *  # noqa: F403

NOTIFICATIONS = {
    "CELERY": True,
    "LEASE_SECONDS": 2,
    "BEAT_SECONDS": 0.5,
    # Deliveries that were being sent when their worker died are retried immediately.
    "RETRY_DELAYS": [0, 0, 0],
    "CHANNELS": {
        "log": {
            "BACKEND": "tests.celery.ledger.LedgerChannel",
            "OPTIONS": {
                "path": os.environ.get("KLAXON_LEDGER", os.devnull),
                "seconds": float(os.environ.get("KLAXON_LEDGER_SECONDS", "0")),
            },
        }
    },
}
CELERY_BROKER_URL = os.environ.get("KLAXON_BROKER", "memory://")
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": int(os.environ.get("KLAXON_VISIBILITY", "3600")),
    # Restore invisible tasks each second, not each hundred.
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_BEAT_SCHEDULE = beat_schedule(every=float(os.environ.get("KLAXON_SWEEP_EVERY", "30")))
