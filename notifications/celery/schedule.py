"""The beat: a sweep now and then, which finds whatever no task was called for."""

from typing import Any

from notifications.celery.queues import QUEUES
from notifications.core import partitions
from notifications.events import NotificationPriority

SWEEP_EVERY = 30.0


def beat_schedule(every: float = SWEEP_EVERY, queue: str = QUEUES[NotificationPriority.HIGH]) -> dict[str, Any]:
    """Entries for Celery's ``beat_schedule``: one sweep for each partition.

    :param every: seconds between two sweeps: how long a delivery waits whose call was lost.
    :param queue: where the sweeps go.
    """
    # A sweep that nobody took in time is replaced by the next one; otherwise they pile up while workers are away.
    options = {"queue": queue, "expires": every}
    return {
        f"klaxon.sweep.{partition}": {
            "task": "notifications.celery.tasks.sweep",
            "schedule": every,
            "args": (partition,),
            "options": options,
        }
        for partition in partitions.list_partitions()
    }
