"""Calls of the task: one for each priority and slice of the deliveries that are ready."""

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

from notifications.delivering.calls import MAX_TASKS, PausingCaller, list_calls, takes_other_deliveries
from notifications.tasks.queues import get_task_options

caller = PausingCaller(
    logging.getLogger("notifications.tasks"),
    "The task backend accepts no task. Deliveries wait for a worker or the next dispatch_notifications: %r",
)


def call_tasks(task: Any, partition: str, notification_ids: Sequence[int], max_tasks: int = MAX_TASKS) -> None:
    """Enqueue ``task`` for the ready deliveries of these notifications. It never raises an error of the backend."""
    for priority, ids, tasks in list_calls(notification_ids, max_tasks):
        called = task.using(**get_task_options(task.backend, priority))
        enqueue = partial(called.enqueue, partition, ids, takes_other_deliveries(priority))
        for _ in range(tasks):
            if not caller.attempt(enqueue):
                return
