"""``DELIVERY: "immediate"``: the process that queued a notification also delivers it, right after its commit."""

import logging
from collections.abc import Sequence
from typing import Any

from notifications import conf
from notifications.dispatch.dispatcher import Dispatcher

logger = logging.getLogger("notifications.dispatch")

AT_MOST = 25


def deliver_now(*, notification_ids: Sequence[int], **kwargs: Any) -> None:
    """Receiver of ``notifications_queued``. Takes at most 25 deliveries by the same claims; a worker has the rest."""
    if conf.current().delivery != "immediate":
        return
    dispatcher = Dispatcher()
    try:
        dispatcher.run_until_idle(notification_ids, limit=AT_MOST)
    except Exception:
        # The caller's work is committed and must not fail for ours. What was not delivered is still in the outbox.
        logger.exception("Immediate delivery failed; the worker will go on with it.")
    finally:
        dispatcher.close()
