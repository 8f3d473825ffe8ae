"""Calling workers: which tasks, in which queues, for what is ready."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from math import ceil
from typing import Any

from django.db import router
from django.db.models import Count

from notifications.celery.broker import line
from notifications.celery.queues import QUEUES, takes_the_rest
from notifications.core import clock
from notifications.delivering.providers.choice import Providers
from notifications.events import NotificationPriority
from notifications.models import Delivery, Pause
from notifications.models.pause import EVERYTHING
from notifications.outcomes import DeliveryState

SLICE = 100
"""The most deliveries that one task takes."""
AT_ONCE = 10
"""The most tasks for one send and priority; each calls its successor, if there is more to do."""
LOOKS_AT = 500
"""The most ready deliveries that one sweep looks at because they are urgent."""
LOOKS_AT_OLDEST = 50
"""And how many because they are old."""


def call(
    task: Any, partition: str, notification_ids: Sequence[int], at_most: int = AT_ONCE, expires: float | None = None
) -> None:
    """Call ``task`` for what is ready of these notifications: by priority, and once for each slice."""
    for priority, ids, count in _ready_by_priority(notification_ids):
        args = (partition, ids, takes_the_rest(priority))
        for _ in range(min(at_most, ceil(count / SLICE))):
            if not line.call(task, args, QUEUES[priority], expires):
                return


def still_ready() -> list[int]:
    """The notifications of deliveries that could go out and that nobody has taken: the most urgent and the oldest.

    Without the oldest, a flood of urgent ones would keep the others waiting for ever. Deliveries whose channel waits
    for its provider are left out, or they would take the place of those that can go.
    """
    paused = Pause.objects.using(_using()).names()
    if EVERYTHING in paused:
        return []
    shut = Providers(_using()).unavailable_channels(clock.now(_using()))
    ids = _ready().exclude(channel__in=[*paused, *shut]).values_list("notification_id", flat=True)
    urgent, oldest = ids.order_by("-score", "pk")[:LOOKS_AT], ids.order_by("pk")[:LOOKS_AT_OLDEST]
    return list(dict.fromkeys([*urgent, *oldest]))


def _ready_by_priority(notification_ids: Sequence[int]) -> Iterator[tuple[NotificationPriority, list[int], int]]:
    """Priority, ids and number of ready deliveries, the most urgent first; in one query."""
    rows = _ready().filter(notification_id__in=notification_ids).values_list("notification__priority", "notification")
    found: dict[int, dict[int, int]] = defaultdict(dict)
    for priority, notification_id, count in rows.annotate(Count("pk")):
        found[priority][notification_id] = count
    for priority, counts in sorted(found.items()):
        yield NotificationPriority(priority), sorted(counts), sum(counts.values())


def _ready() -> Any:
    return Delivery.objects.using(_using()).filter(state=DeliveryState.READY)


def _using() -> str:
    return router.db_for_write(Delivery)
