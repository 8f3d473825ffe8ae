"""Receivers of ``notifications_queued``: after a commit they wake workers or, if the site chooses so, deliver.

With ``DELIVERY: "immediate"``, the process that queues a notification delivers it too, directly after the commit.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from weakref import WeakKeyDictionary

from django.db import router

from notifications import conf
from notifications.conf import is_off
from notifications.delivering.dispatcher import Dispatcher
from notifications.delivering.workers.outage_log import OUTAGE_LOG
from notifications.models import Delivery
from notifications.storage.engine import get_engine

logger = logging.getLogger("notifications.dispatch")

NOTIFY_CHANNEL = "klaxon"
"""The channel of PostgreSQL's NOTIFY on which workers listen."""
MAX_DELIVERIES = 25
MAX_SECONDS = 5.0


class Budget:
    """The number of deliveries that may still begin after one commit, and the seconds in which they may begin.

    Only the time of deliveries counts, not that of other callbacks of the same commit.
    """

    def __init__(self) -> None:
        self.deliveries = MAX_DELIVERIES
        self.seconds = MAX_SECONDS
        self._deadline: float | None = None

    @contextmanager
    def run(self) -> Iterator[None]:
        """Count the time until the block ends. A nested block is not counted twice."""
        if self._deadline is not None:
            yield
            return
        self._deadline = time.monotonic() + self.seconds
        token = _running.set(self)
        try:
            yield
        finally:
            _running.reset(token)
            self.seconds, self._deadline = self._deadline - time.monotonic(), None

    @property
    def is_used_up(self) -> bool:
        return self.deliveries <= 0 or self.is_out_of_time

    @property
    def is_out_of_time(self) -> bool:
        return self.seconds <= 0 if self._deadline is None else time.monotonic() > self._deadline


# A receiver of delivery_sent may call send() during a delivery. Deliveries that this call queues share the budget.
_running: ContextVar[Budget | None] = ContextVar("klaxon_immediate_budget", default=None)
_budgets: WeakKeyDictionary[Any, Budget] = WeakKeyDictionary()


def notify_workers(*, partition: str, **kwargs: Any) -> None:
    """Notify every worker that listens. Only PostgreSQL has notifications; on SQLite, workers poll."""
    engine = get_engine(router.db_for_write(Delivery))
    if engine.has_server:
        with engine.connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, %s)", [NOTIFY_CHANNEL, partition])


def deliver_now(*, notification_ids: Sequence[int], commit: Any = None, **kwargs: Any) -> None:
    """Deliver what a commit has queued.

    Begin at most 25 deliveries, and none after 5 seconds; a worker delivers the others. All deliveries that one
    transaction has queued share these limits.

    :param commit: the same object for all calls of one transaction.
    """
    if conf.current().delivery != "immediate" or is_off():
        return
    budget = _running.get() or _get_budget(commit)
    if budget.is_used_up:
        return
    try:
        with budget.run():
            _deliver(notification_ids, budget)
    except Exception as error:  # noqa: BLE001 - it is logged
        # The caller's transaction is committed, so this error must not reach the caller. The outbox still contains
        # every delivery that was not sent.
        OUTAGE_LOG.report_failure(logger, error, "Immediate delivery failed; a worker continues with it.")
    else:
        OUTAGE_LOG.report_success()


def _get_budget(commit: Any) -> Budget:
    return Budget() if commit is None else _budgets.setdefault(commit, Budget())


def _deliver(notification_ids: Sequence[int], budget: Budget) -> None:
    # One at a time, so that the budget is checked before each delivery.
    dispatcher = Dispatcher(batch_size=1, stop=lambda: budget.is_out_of_time)
    try:
        while not budget.is_used_up:
            budget.deliveries -= 1
            claimed, _tally = dispatcher.run_batch(1, notification_ids)
            if not claimed:
                budget.deliveries += 1
                return
    finally:
        dispatcher.close()
