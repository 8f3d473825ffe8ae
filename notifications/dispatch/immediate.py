"""``DELIVERY: "immediate"``: the process that queued a notification also delivers it, right after its commit."""

import logging
import time
from collections.abc import Sequence
from typing import Any

from notifications import conf
from notifications.dispatch.dispatcher import Dispatcher

logger = logging.getLogger("notifications.dispatch")

AT_MOST = 25
SECONDS = 5.0


def deliver_now(*, notification_ids: Sequence[int], **kwargs: Any) -> None:
    """Receiver of ``notifications_queued``. Begins at most 25 deliveries, for 5 s; a worker has the rest."""
    if conf.current().delivery != "immediate":
        return
    deadline = time.monotonic() + SECONDS
    # One at a time, so that the deadline is looked at between any two.
    dispatcher = Dispatcher(batch_size=1, stop=lambda: time.monotonic() > deadline)
    try:
        dispatcher.run_until_idle(notification_ids, limit=AT_MOST)
    except Exception:
        # The caller's work is committed and must not fail for ours. What was not delivered is still in the outbox.
        logger.exception("Immediate delivery failed; the worker will go on with it.")
    finally:
        dispatcher.close()
