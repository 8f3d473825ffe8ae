"""The receiver that enqueues tasks when notifications were queued."""

from collections.abc import Sequence
from typing import Any

from notifications import conf
from notifications.tasks.calls import call_tasks
from notifications.tasks.tasks import dispatch


def call_workers(*, partition: str, notification_ids: Sequence[int], **kwargs: Any) -> None:
    """Receiver of ``notifications_queued``. A superfluous task does nothing, and a worker finds what none was for."""
    if conf.current().task_backend:
        call_tasks(dispatch, partition, notification_ids)
