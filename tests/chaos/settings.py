"""The settings of the test site, with one channel whose provider keeps a ledger, and with short leases.

Retries are due at once, so that a drain ends quickly; there are enough of them that no schedule is used up.
"""

import os

from notifications.conf import KEYS
from tests.chaos.databases import trouble
from tests.settings import *  # noqa: F403 - a settings file
from tests.settings import DATABASES, INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.chaos"]
LEASE_SECONDS = 3.0
BEAT_SECONDS = 0.5
GROUP = 3
BATCH = 6
NOTIFICATIONS = {
    "CHANNELS": {
        "chaos": {"BACKEND": "tests.chaos.channel.ChaosChannel"},
        "email": {"ENABLED": False},
        "app": {"ENABLED": False},
    },
    "LEASE_SECONDS": LEASE_SECONDS,
    "BEAT_SECONDS": BEAT_SECONDS,
    "BATCH_SIZE": BATCH,
    "WORKERS": 1,
    "IDLE_SECONDS": 0.2,
    "ERROR_PAUSE_SECONDS": 0.2,
    "RETRY_DELAYS": [0.0] * 9,
    "RETRY_JITTER": 0.0,
}
# Where a worker keeps what it could not write, and how long it tries to when it is asked to end.
STATE_DIR = os.environ.get("KLAXON_STATE_DIR", "")
STOP_SECONDS = 2.0
STOPPING = {"STATE_DIR": STATE_DIR, "STOP_SECONDS": STOP_SECONDS}
NOTIFICATIONS |= {key: value for key, value in STOPPING.items() if key in KEYS}
# Its workers are forked: nothing of a database may be open before.
DATABASES["default"]["CONN_HEALTH_CHECKS"] = False
trouble(DATABASES["default"], os.environ)
