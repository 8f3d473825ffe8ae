"""The setting ``NOTIFICATIONS["ENABLED"]``, which switches Klaxon on and off."""

import logging
from functools import cache

from notifications import conf

logger = logging.getLogger("notifications")

OFF_MESSAGE = "NOTIFICATIONS['ENABLED'] is False: nothing is queued or delivered. Queued deliveries wait."


def is_off() -> bool:
    """Return whether Klaxon is switched off. If it is, the first call in each process logs a warning."""
    if conf.current().enabled:
        return False
    _log_warning_once()
    return True


@cache
def _log_warning_once() -> None:
    logger.warning(OFF_MESSAGE)
