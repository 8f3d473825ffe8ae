"""The queue and the priority of a task, as far as its backend has them."""

from collections.abc import Mapping
from typing import Any

from django.tasks import DEFAULT_TASK_QUEUE_NAME, task_backends

from notifications.events import NotificationPriority

QUEUES: Mapping[NotificationPriority, str] = {
    priority: f"klaxon.{priority.name.lower()}" for priority in NotificationPriority
}
TASK_PRIORITIES: Mapping[NotificationPriority, int] = {
    NotificationPriority.CRITICAL: 50,
    NotificationPriority.HIGH: 25,
    NotificationPriority.MEDIUM: 0,
    NotificationPriority.LOW: -25,
}


def find_queue(backend: Any, priority: NotificationPriority) -> str:
    """Return the queue for deliveries of a priority.

    It is the queue of this priority if the backend declares it, else ``default``, else the first that it declares. If a
    backend declares no queues, it accepts every name; then it is ``default``, which workers process by default.
    """
    for name in (QUEUES[priority], DEFAULT_TASK_QUEUE_NAME):
        if name in backend.queues:
            return name
    return min(backend.queues, default=DEFAULT_TASK_QUEUE_NAME)


def get_task_options(alias: str, priority: NotificationPriority) -> dict[str, Any]:
    """Return the options of a task for deliveries of a priority.

    :raises InvalidTaskBackend: if the site has no backend of this name.
    """
    backend = task_backends[alias]
    number = TASK_PRIORITIES[priority] if backend.supports_priority else 0
    return {"backend": alias, "queue_name": find_queue(backend, priority), "priority": number}
