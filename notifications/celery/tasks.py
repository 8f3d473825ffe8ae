"""The two tasks. They may run twice, late or never: claims decide who delivers, and the sweep finds what was missed."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from celery import shared_task
from django.db import router

from notifications import conf
from notifications.celery.calls import call_tasks, find_ready_notifications
from notifications.celery.heartbeat import get_process_heartbeat
from notifications.celery.schedule import SWEEP_INTERVAL
from notifications.conf import is_off
from notifications.core import clock
from notifications.core.databases import enter_partition
from notifications.delivering.calls import DELIVERIES_PER_TASK, MAX_TASK_SECONDS
from notifications.delivering.dispatcher import Dispatcher
from notifications.delivering.workers.heartbeat import HeartbeatThread
from notifications.delivering.workers.periodic_tasks import Scheduler
from notifications.delivering.workers.rescue import Rescuer
from notifications.models import Delivery

# A task that did not finish runs again, and finds only what no other task has done. The log has the results.
TASK_OPTIONS = {"bind": True, "acks_late": True, "reject_on_worker_lost": True, "ignore_result": True}


@shared_task(**TASK_OPTIONS)
def dispatch(task: Any, partition: str, notification_ids: Sequence[int], take_others: bool = True) -> None:
    """Deliver a slice of the ready deliveries of these notifications, and then a batch of the others."""
    if is_off():
        return
    with enter_partition(partition), open_dispatcher(task) as dispatcher:
        tally = dispatcher.run_until_idle(notification_ids, limit=DELIVERIES_PER_TASK)
        if tally.total() >= DELIVERIES_PER_TASK or dispatcher.stop():
            call_tasks(task, partition, notification_ids, max_tasks=1)
        elif take_others:
            dispatcher.run_until_idle(limit=dispatcher.batch_size)


@shared_task(**TASK_OPTIONS)
def sweep(task: Any, partition: str) -> None:
    """Rescue the deliveries of lost workers, deliver what is due, and call workers for the rest of what is ready."""
    if is_off():
        return
    with enter_partition(partition):
        using = router.db_for_write(Delivery)
        rescuer = Rescuer(using, _heartbeat_for(task))
        Scheduler(using, timeout=MAX_TASK_SECONDS).run_due()
        _rescue_and_deliver(task, rescuer)
        if rescuer.has_suspects:
            time.sleep(rescuer.confirmation_seconds)
            _rescue_and_deliver(task, rescuer)
        # If no worker takes these calls, the next sweep makes them again.
        call_tasks(dispatch, partition, find_ready_notifications(), expires=SWEEP_INTERVAL)


def _rescue_and_deliver(task: Any, rescuer: Rescuer) -> None:
    rescuer.rescue(clock.now(rescuer.using))
    with open_dispatcher(task) as dispatcher:
        # One batch makes due deliveries ready. The others are for the workers of their own priority.
        dispatcher.run_until_idle(limit=dispatcher.batch_size)


@contextmanager
def open_dispatcher(task: Any) -> Iterator[Dispatcher]:
    """Give a dispatcher that stops after ``MAX_TASK_SECONDS``. In a Celery worker it has a heartbeat."""
    deadline = time.monotonic() + MAX_TASK_SECONDS
    heartbeat = _heartbeat_for(task)
    dispatcher = Dispatcher(stop=lambda: time.monotonic() >= deadline, heartbeat=heartbeat)
    try:
        yield dispatcher
    finally:
        dispatcher.close(conf.current().stop_seconds if heartbeat else 0.0)


def _heartbeat_for(task: Any) -> HeartbeatThread | None:
    """Return the heartbeat of this process, or None for a task that is called eagerly or directly.

    Such a task runs in the process of another program, and must not leave a thread there.
    """
    is_guest = task.request.is_eager or task.request.called_directly
    return None if is_guest else get_process_heartbeat()
