"""Settings of the worker that is soaked: those of a site, with short times, so that troubles end within their slot."""

from tests.chaos.settings import *  # noqa: F403 - a settings file
from tests.chaos.settings import DATABASES, NOTIFICATIONS

NOTIFICATIONS = {
    **NOTIFICATIONS,
    "WORKERS": 2,
    "LEASE_SECONDS": 3,
    "RETRY_DELAYS": [1.0, 2.0, 5.0, *[10.0] * 20],
    "RETRY_JITTER": 0.1,
    "BREAKER_SECONDS": 1,
    "BREAKER_MOST_SECONDS": 3,
    "RAMP_SECONDS": 3,
    "RAMP_START": 20,
}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # A megabyte for each connection, which is soon full. With the usual 64 a worker would grow for days, and a leak
    # could not be told from a cache that fills.
    DATABASES["default"]["OPTIONS"]["init_command"] += "PRAGMA cache_size=-1000;"
