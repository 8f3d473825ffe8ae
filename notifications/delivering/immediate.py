"""``DELIVERY: "immediate"``: the process that queued a notification also delivers it, right after its commit."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from weakref import WeakKeyDictionary

from notifications import conf
from notifications.core.switch import is_off
from notifications.delivering.dispatcher import Dispatcher
from notifications.delivering.workers.outage_log import OUTAGE_LOG

logger = logging.getLogger("notifications.dispatch")

AT_MOST = 25
SECONDS = 5.0


class Budget:
    """What may still be delivered after one commit: so many deliveries, and no new one after so many seconds.

    The time runs only while deliveries are made, not while other callbacks of the same commit run.
    """

    def __init__(self) -> None:
        self.deliveries = AT_MOST
        self.seconds = SECONDS
        self._deadline: float | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let the time run. A block within another adds no time."""
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


# A receiver of delivery_sent may send in turn, in the middle of a delivery; what that queues shares the budget.
_running: ContextVar[Budget | None] = ContextVar("klaxon_immediate_budget", default=None)
_budgets: WeakKeyDictionary[Any, Budget] = WeakKeyDictionary()


def deliver_now(*, notification_ids: Sequence[int], commit: Any = None, **kwargs: Any) -> None:
    """Receiver of ``notifications_queued``. Begins at most 25 deliveries, for 5 s; a worker has the rest.

    The bound holds for all that one transaction queued together.

    :param commit: the same object for all calls of one transaction.
    """
    if conf.current().delivery != "immediate" or is_off():
        return
    budget = _running.get() or _budget_of(commit)
    if budget.is_used_up:
        return
    try:
        with budget.running():
            _deliver(notification_ids, budget)
    except Exception as error:  # noqa: BLE001 - it is logged
        # The caller's work is committed and must not fail for ours. What was not delivered is still in the outbox.
        OUTAGE_LOG.report_failure(logger, error, "Immediate delivery failed; the worker will go on with it.")
    else:
        OUTAGE_LOG.report_success()


def _budget_of(commit: Any) -> Budget:
    return Budget() if commit is None else _budgets.setdefault(commit, Budget())


def _deliver(notification_ids: Sequence[int], budget: Budget) -> None:
    # One at a time, so that the budget is looked at between any two.
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
