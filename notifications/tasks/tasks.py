"""The task. It may run twice, late or never: claims decide who delivers, and a worker finds what was missed."""

import time
from collections.abc import Sequence

from django.tasks import DEFAULT_TASK_BACKEND_ALIAS, task

from notifications import conf
from notifications.conf import is_off
from notifications.core.databases import enter_partition
from notifications.delivering.calls import DELIVERIES_PER_TASK, MAX_TASK_SECONDS
from notifications.delivering.dispatcher import Dispatcher
from notifications.events import NotificationPriority
from notifications.tasks.calls import call_tasks
from notifications.tasks.queues import get_task_options

# A task has a backend from its declaration on. A process of another site of the same code may have switched it off.
ALIAS = conf.current().task_backend or DEFAULT_TASK_BACKEND_ALIAS


@task(**get_task_options(ALIAS, NotificationPriority.MEDIUM))
def dispatch(partition: str, notification_ids: Sequence[int], take_others: bool = True) -> None:
    """Deliver a slice of the ready deliveries of these notifications, and then a batch of the others.

    The process belongs to the backend, so it gets no thread for a heartbeat. Leases last longer instead, as for
    immediate delivery.
    """
    if is_off():
        return
    deadline = time.monotonic() + MAX_TASK_SECONDS
    dispatcher = Dispatcher(stop=lambda: time.monotonic() >= deadline)
    with enter_partition(partition):
        try:
            tally = dispatcher.run_until_idle(notification_ids, limit=DELIVERIES_PER_TASK)
            has_more = tally.total() >= DELIVERIES_PER_TASK or dispatcher.stop()
            if take_others and not has_more:
                dispatcher.run_until_idle(limit=dispatcher.batch_size)
        finally:
            dispatcher.close()
        if has_more:
            call_tasks(dispatch, partition, notification_ids, max_tasks=1)
