"""Calls to the broker. They are limited in time and never raise an error.

A call is made right after a commit, often in a web request. The delivery is already stored, so a broker that does not
answer delays one request by a second or two. After that it is not called for a while, and delays nothing.
"""

import logging
import time
from collections.abc import Sequence
from typing import Any

from kombu.pools import producers

logger = logging.getLogger("notifications.celery")

BROKER_TIMEOUT = 1.0
BROKER_PAUSE = 5.0
WARNING_INTERVAL = 60.0

# One retry without a pause: a pooled connection may have died while it was idle.
RETRY_POLICY = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}
# Each transport uses the options that it knows: the first three are for Redis, the others for AMQP.
TIMEOUT_OPTIONS = {
    "socket_connect_timeout": BROKER_TIMEOUT,
    "socket_timeout": BROKER_TIMEOUT,
    "retry_on_timeout": False,
    "read_timeout": BROKER_TIMEOUT,
    "write_timeout": BROKER_TIMEOUT,
}


class Broker:
    """Publishes tasks, and stops for a while after a failure."""

    def __init__(self) -> None:
        self._paused_until = 0.0
        self._no_warning_until = 0.0

    def publish(self, task: Any, args: Sequence[Any], queue: str, expires: float | None = None) -> bool:
        """Put a task into a queue; return whether that succeeded."""
        if time.monotonic() < self._paused_until:
            return False
        try:
            _publish(task, args, queue, expires)
        except Exception as error:  # noqa: BLE001
            # Each transport has its own errors. Whichever this is, the caller's work is committed and must not fail,
            # and the delivery is in the outbox, where the next sweep finds it.
            self._pause(error)
            return False
        return True

    def _pause(self, error: Exception) -> None:
        now = time.monotonic()
        self._paused_until = now + BROKER_PAUSE
        if now >= self._no_warning_until:
            self._no_warning_until = now + WARNING_INTERVAL
            logger.warning("The broker cannot be reached. Deliveries wait for the next sweep or worker: %r", error)


def _publish(task: Any, args: Sequence[Any], queue: str, expires: float | None) -> None:
    # A connection of its own: the site's may be set to retry without end, which is right for the site's own tasks.
    options = {**TIMEOUT_OPTIONS, **RETRY_POLICY}
    connection = task.app.connection_for_write(connect_timeout=BROKER_TIMEOUT, transport_options=options)
    with producers[connection].acquire(block=True, timeout=BROKER_TIMEOUT) as producer:
        task.apply_async(args, queue=queue, expires=expires, producer=producer, retry=True, retry_policy=RETRY_POLICY)


broker = Broker()
