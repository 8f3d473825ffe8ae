"""Calls of tasks: which tasks go into which queues for the deliveries that are ready."""

from collections.abc import Sequence
from typing import Any

from django.db import router

from notifications.celery.broker import broker
from notifications.celery.queues import QUEUES
from notifications.core import clock
from notifications.delivering.calls import MAX_TASKS, get_ready, list_calls, takes_other_deliveries
from notifications.delivering.providers.choice import Providers
from notifications.models import Delivery, Pause
from notifications.models.pause import EVERYTHING

SWEEP_URGENT = 500
"""The maximum number of ready deliveries that a sweep selects by urgency."""
SWEEP_OLDEST = 50
"""The maximum number of ready deliveries that a sweep selects by age."""


def call_tasks(
    task: Any, partition: str, notification_ids: Sequence[int], max_tasks: int = MAX_TASKS, expires: float | None = None
) -> None:
    """Call ``task`` for the ready deliveries of these notifications, once for each priority and slice."""
    for priority, ids, tasks in list_calls(notification_ids, max_tasks):
        args = (partition, ids, takes_other_deliveries(priority))
        for _ in range(tasks):
            if not broker.publish(task, args, QUEUES[priority], expires):
                return


def find_ready_notifications() -> list[int]:
    """Return the notifications whose deliveries are ready and that no worker has claimed: the most urgent and oldest.

    Without the oldest, a flood of urgent deliveries would delay the others without end. Deliveries whose channel waits
    for its provider are left out, because they would take the place of those that can be sent.
    """
    using = router.db_for_write(Delivery)
    paused = Pause.objects.using(using).channel_names()
    if EVERYTHING in paused:
        return []
    unavailable = Providers(using).unavailable_channels(clock.now(using))
    ids = get_ready().exclude(channel__in=[*paused, *unavailable]).values_list("notification_id", flat=True)
    urgent, oldest = ids.order_by("-score", "pk")[:SWEEP_URGENT], ids.order_by("pk")[:SWEEP_OLDEST]
    return list(dict.fromkeys([*urgent, *oldest]))
