"""The receiver that calls Celery's workers when notifications were queued."""

from collections.abc import Sequence
from typing import Any

from notifications import conf
from notifications.celery.calls import call_tasks
from notifications.celery.tasks import dispatch


def call_workers(*, partition: str, notification_ids: Sequence[int], **kwargs: Any) -> None:
    """Receiver of ``notifications_queued``. A superfluous call does nothing, and the sweep replaces a lost one."""
    if conf.current().celery:
        call_tasks(dispatch, partition, notification_ids)
