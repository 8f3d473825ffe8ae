"""Calls of tasks: what a task queue gets for the deliveries that are ready. It carries ids only.

Celery and ``django.tasks`` use it. A superfluous call does nothing, and a lost one only costs time.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from math import ceil
from typing import Any

from django.db import router
from django.db.models import Count, QuerySet

from notifications.events import NotificationPriority
from notifications.models import Delivery
from notifications.outcomes import DeliveryState

DELIVERIES_PER_TASK = 100
"""The maximum number of deliveries that one task takes."""
MAX_TASKS = 10
"""The maximum number of tasks for one send and priority. Each calls its successor if there is more to do."""
MAX_TASK_SECONDS = 20.0
"""A task queue does not tell a task to stop, so each ends within this time."""
PAUSE_SECONDS = 5.0
WARNING_INTERVAL = 60.0


class PausingCaller:
    """Makes calls that must not fail, and makes none for a while after a failure.

    :param warning: what the log says about a failure, at most once a minute, with a place for the error.
    """

    def __init__(self, logger: logging.Logger, warning: str) -> None:
        self._logger, self._warning = logger, warning
        self._paused_until = 0.0
        self._no_warning_until = 0.0

    def attempt(self, call: Callable[[], Any], pause_seconds: float = PAUSE_SECONDS) -> bool:
        """Make a call; return whether that succeeded."""
        if time.monotonic() < self._paused_until:
            return False
        try:
            call()
        except Exception as error:  # noqa: BLE001
            # Each task queue has its own errors. Whichever this is, the caller's work is committed and must not fail,
            # and the delivery is in the outbox, where a worker finds it.
            self._pause(error, pause_seconds)
            return False
        return True

    def _pause(self, error: Exception, seconds: float) -> None:
        now = time.monotonic()
        self._paused_until = now + seconds
        if now >= self._no_warning_until:
            self._no_warning_until = now + WARNING_INTERVAL
            self._logger.warning(self._warning, error)


def list_calls(
    notification_ids: Sequence[int], max_tasks: int = MAX_TASKS
) -> Iterator[tuple[NotificationPriority, list[int], int]]:
    """Yield the priority, the ids and the number of tasks for the ready deliveries of these notifications.

    The most urgent come first. It takes one query.
    """
    rows = get_ready().filter(notification_id__in=notification_ids)
    by_priority: dict[int, dict[int, int]] = defaultdict(dict)
    for priority, notification_id, count in rows.values_list("notification__priority", "notification").annotate(
        Count("pk")
    ):
        by_priority[priority][notification_id] = count
    for priority, counts in sorted(by_priority.items()):
        tasks = min(max_tasks, ceil(sum(counts.values()) / DELIVERIES_PER_TASK))
        yield NotificationPriority(priority), sorted(counts), tasks


def takes_other_deliveries(priority: NotificationPriority) -> bool:
    """Return whether a task, after its own deliveries, also takes some of the others that are ready.

    Tasks of urgent deliveries do not: a slow mail server of other deliveries must not delay the next urgent one.
    """
    return priority > NotificationPriority.HIGH


def get_ready() -> QuerySet[Delivery]:
    """Return the deliveries that are ready and that no worker has claimed."""
    return Delivery.objects.using(router.db_for_write(Delivery)).filter(state=DeliveryState.READY)
