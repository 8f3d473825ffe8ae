"""The schedule of the sweep, a regular task that finds the deliveries for which no task was called."""

from typing import Any

from notifications.celery.queues import QUEUES
from notifications.core.databases import list_partitions
from notifications.events import NotificationPriority

SWEEP_INTERVAL = 30.0


def beat_schedule(every: float = SWEEP_INTERVAL, queue: str = QUEUES[NotificationPriority.HIGH]) -> dict[str, Any]:
    """Return the entries for Celery's ``beat_schedule``: one sweep for each partition.

    :param every: seconds between two sweeps, and so the time that a delivery waits whose call was lost.
    :param queue: the queue of the sweeps.
    """
    # A sweep that no worker took in time is replaced by the next one. Otherwise they pile up while no worker runs.
    options = {"queue": queue, "expires": every}
    return {
        f"klaxon.sweep.{partition}": {
            "task": "notifications.celery.tasks.sweep",
            "schedule": every,
            "args": (partition,),
            "options": options,
        }
        for partition in list_partitions()
    }
