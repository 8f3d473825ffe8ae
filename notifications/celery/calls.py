"""Calls of tasks: which tasks go into which queues for the deliveries that are ready."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from math import ceil
from typing import Any

from django.db import router
from django.db.models import Count

from notifications.celery.broker import broker
from notifications.celery.queues import QUEUES, takes_other_deliveries
from notifications.core import clock
from notifications.delivering.providers.choice import Providers
from notifications.events import NotificationPriority
from notifications.models import Delivery, Pause
from notifications.models.pause import EVERYTHING
from notifications.outcomes import DeliveryState

DELIVERIES_PER_TASK = 100
"""The maximum number of deliveries that one task takes."""
MAX_TASKS = 10
"""The maximum number of tasks for one send and priority. Each calls its successor if there is more to do."""
SWEEP_URGENT = 500
"""The maximum number of ready deliveries that a sweep selects by urgency."""
SWEEP_OLDEST = 50
"""The maximum number of ready deliveries that a sweep selects by age."""


def call_tasks(
    task: Any, partition: str, notification_ids: Sequence[int], max_tasks: int = MAX_TASKS, expires: float | None = None
) -> None:
    """Call ``task`` for the ready deliveries of these notifications, once for each priority and slice."""
    for priority, ids, count in _ready_by_priority(notification_ids):
        args = (partition, ids, takes_other_deliveries(priority))
        for _ in range(min(max_tasks, ceil(count / DELIVERIES_PER_TASK))):
            if not broker.publish(task, args, QUEUES[priority], expires):
                return


def find_ready_notifications() -> list[int]:
    """Return the notifications whose deliveries are ready and that no worker has claimed: the most urgent and oldest.

    Without the oldest, a flood of urgent deliveries would delay the others without end. Deliveries whose channel waits
    for its provider are left out, because they would take the place of those that can be sent.
    """
    paused = Pause.objects.using(_using()).channel_names()
    if EVERYTHING in paused:
        return []
    unavailable = Providers(_using()).unavailable_channels(clock.now(_using()))
    ids = _ready().exclude(channel__in=[*paused, *unavailable]).values_list("notification_id", flat=True)
    urgent, oldest = ids.order_by("-score", "pk")[:SWEEP_URGENT], ids.order_by("pk")[:SWEEP_OLDEST]
    return list(dict.fromkeys([*urgent, *oldest]))


def _ready_by_priority(notification_ids: Sequence[int]) -> Iterator[tuple[NotificationPriority, list[int], int]]:
    """Yield the priority, the ids and the number of ready deliveries, the most urgent first. Uses one query."""
    rows = _ready().filter(notification_id__in=notification_ids).values_list("notification__priority", "notification")
    by_priority: dict[int, dict[int, int]] = defaultdict(dict)
    for priority, notification_id, count in rows.annotate(Count("pk")):
        by_priority[priority][notification_id] = count
    for priority, counts in sorted(by_priority.items()):
        yield NotificationPriority(priority), sorted(counts), sum(counts.values())


def _ready() -> Any:
    return Delivery.objects.using(_using()).filter(state=DeliveryState.READY)


def _using() -> str:
    return router.db_for_write(Delivery)
