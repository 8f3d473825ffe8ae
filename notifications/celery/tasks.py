"""The two tasks. They may run twice, late or never: the claims decide who delivers, and the sweep finds the rest."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from celery import shared_task
from django.db import router

from notifications import conf
from notifications.celery import heartbeat as pulse
from notifications.celery.calls import SLICE, call, still_ready
from notifications.celery.schedule import SWEEP_EVERY
from notifications.core import clock, partitions
from notifications.core.switch import is_off
from notifications.delivering.dispatcher import Dispatcher
from notifications.delivering.workers.heartbeat import HeartbeatThread
from notifications.delivering.workers.periodic_tasks import Scheduler
from notifications.delivering.workers.rescue import Rescuer
from notifications.models import Delivery

SECONDS = 20.0
"""How long a task goes on; so a worker that shall stop has stopped soon after."""

# A task that was not finished comes again, to find only what nobody else has done. Results are rows of the log.
ONCE_MORE = {"bind": True, "acks_late": True, "reject_on_worker_lost": True, "ignore_result": True}


@shared_task(**ONCE_MORE)
def dispatch(task: Any, partition: str, notification_ids: Sequence[int], then_the_rest: bool = True) -> None:
    """Deliver a slice of what is ready of these notifications, and then a batch of whatever else is ready."""
    if is_off():
        return
    with partitions.enter(partition), dispatching(task) as dispatcher:
        tally = dispatcher.run_until_idle(notification_ids, limit=SLICE)
        if tally.total() >= SLICE or dispatcher.stop():
            call(task, partition, notification_ids, at_most=1)
        elif then_the_rest:
            dispatcher.run_until_idle(limit=dispatcher.batch_size)


@shared_task(**ONCE_MORE)
def sweep(task: Any, partition: str) -> None:
    """The safety net: take over from lost workers, deliver what has become due, call workers for what else is ready."""
    if is_off():
        return
    with partitions.enter(partition):
        using = router.db_for_write(Delivery)
        rescuer = Rescuer(using, _pulse_for(task))
        Scheduler(using, patience=SECONDS).run_due()
        _look_and_deliver(task, rescuer)
        if rescuer.has_suspects:
            time.sleep(rescuer.patience)
            _look_and_deliver(task, rescuer)
        # Should nobody come for these calls, the next sweep makes them anew.
        call(dispatch, partition, still_ready(), expires=SWEEP_EVERY)


def _look_and_deliver(task: Any, rescuer: Rescuer) -> None:
    rescuer.look(clock.now(rescuer.using))
    with dispatching(task) as dispatcher:
        # One batch makes ready what is due. The rest is for the workers of its own priority.
        dispatcher.run_until_idle(limit=dispatcher.batch_size)


@contextmanager
def dispatching(task: Any) -> Iterator[Dispatcher]:
    """A dispatcher that stops in time; inside a Celery worker it has a heartbeat."""
    until = time.monotonic() + SECONDS
    heartbeat = _pulse_for(task)
    dispatcher = Dispatcher(stop=lambda: time.monotonic() >= until, heartbeat=heartbeat)
    try:
        yield dispatcher
    finally:
        dispatcher.close(conf.current().stop_seconds if heartbeat else 0.0)


def _pulse_for(task: Any) -> HeartbeatThread | None:
    """The heartbeat of this process; None for a task that is called eagerly or directly.

    Such a task is a guest in another program's process, and leaves no thread behind.
    """
    is_guest = task.request.is_eager or task.request.called_directly
    return None if is_guest else pulse.of_this_process()
