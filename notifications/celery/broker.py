"""The way to the broker: bounded in time, and never an error for the caller.

A call is made right after a commit, often inside a web request. The delivery is already safe, so a broker that does not
answer costs the request a second or two once, and nothing while it is left alone after that.
"""

import logging
import time
from collections.abc import Sequence
from typing import Any

from kombu.pools import producers

logger = logging.getLogger("notifications.celery")

ANSWER_WITHIN = 1.0
LEFT_ALONE_FOR = 5.0
WARN_EVERY = 60.0

# Again at once and only once: a pooled connection may have died while it was idle.
AT_ONCE_AGAIN = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}
# Each transport takes those that it knows: the first three are for Redis, the others for AMQP.
TIMEOUTS = {
    "socket_connect_timeout": ANSWER_WITHIN,
    "socket_timeout": ANSWER_WITHIN,
    "retry_on_timeout": False,
    "read_timeout": ANSWER_WITHIN,
    "write_timeout": ANSWER_WITHIN,
}


class Line:
    """The line to the broker, and when to try it again."""

    def __init__(self) -> None:
        self._dead_until = 0.0
        self._quiet_until = 0.0

    def call(self, task: Any, args: Sequence[Any], queue: str, expires: float | None = None) -> bool:
        """Put a task into a queue; whether that worked."""
        if time.monotonic() < self._dead_until:
            return False
        try:
            _publish(task, args, queue, expires)
        except Exception as error:  # noqa: BLE001
            # Each transport has errors of its own. Whichever it is, the caller's work is committed and must not fail
            # for ours, and the delivery is in the outbox, where the next sweep finds it.
            self._hang_up(error)
            return False
        return True

    def _hang_up(self, error: Exception) -> None:
        now = time.monotonic()
        self._dead_until = now + LEFT_ALONE_FOR
        if now >= self._quiet_until:
            self._quiet_until = now + WARN_EVERY
            logger.warning("The broker cannot be reached; deliveries wait for the next sweep or worker: %r", error)


def _publish(task: Any, args: Sequence[Any], queue: str, expires: float | None) -> None:
    # A connection of our own: the site's may be set to try for as long as it takes, which is right for its own tasks.
    options = {**TIMEOUTS, **AT_ONCE_AGAIN}
    connection = task.app.connection_for_write(connect_timeout=ANSWER_WITHIN, transport_options=options)
    with producers[connection].acquire(block=True, timeout=ANSWER_WITHIN) as producer:
        task.apply_async(args, queue=queue, expires=expires, producer=producer, retry=True, retry_policy=AT_ONCE_AGAIN)


line = Line()
