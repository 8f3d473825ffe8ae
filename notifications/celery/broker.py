"""Calls to the broker. They are limited in time and never raise an error.

A call is made right after a commit, often in a web request. The delivery is already stored, so a broker that does not
answer delays one request by a second or two. After that it is not called for a while, and delays nothing.
"""

import logging
from collections.abc import Sequence
from typing import Any

from kombu.pools import producers

from notifications.delivering.calls import PausingCaller

logger = logging.getLogger("notifications.celery")

BROKER_TIMEOUT = 1.0
BROKER_PAUSE = 5.0
WARNING = "The broker cannot be reached. Deliveries wait for the next sweep or worker: %r"

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
        self._caller = PausingCaller(logger, WARNING)

    def publish(self, task: Any, args: Sequence[Any], queue: str, expires: float | None = None) -> bool:
        """Put a task into a queue; return whether that succeeded."""
        return self._caller.attempt(lambda: _publish(task, args, queue, expires), BROKER_PAUSE)


def _publish(task: Any, args: Sequence[Any], queue: str, expires: float | None) -> None:
    # A connection of its own: the site's may be set to retry without end, which is right for the site's own tasks.
    options = {**TIMEOUT_OPTIONS, **RETRY_POLICY}
    connection = task.app.connection_for_write(connect_timeout=BROKER_TIMEOUT, transport_options=options)
    with producers[connection].acquire(block=True, timeout=BROKER_TIMEOUT) as producer:
        task.apply_async(args, queue=queue, expires=expires, producer=producer, retry=True, retry_policy=RETRY_POLICY)


broker = Broker()
