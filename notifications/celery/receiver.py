"""The receiver that calls Celery's workers when something was queued."""

from collections.abc import Sequence
from typing import Any

from notifications import conf
from notifications.celery.calls import call
from notifications.celery.tasks import dispatch


def call_workers(*, partition: str, notification_ids: Sequence[int], **kwargs: Any) -> None:
    """Receiver of ``notifications_queued``. A call too many does nothing; a lost one is made up for by the sweep."""
    if conf.current().celery:
        call(dispatch, partition, notification_ids)
