"""Deletion of faults and alerts that ended long ago, and of devices that were not seen for as long."""

from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import router

from notifications.models import CanAlert, CanDevice, CanFault

KEEP = timedelta(days=90)


def delete_old_state(now: datetime, should_stop: Callable[[], bool]) -> None:
    """Delete what is no longer needed. What stands stays."""
    for model in (CanFault, CanAlert, CanDevice):
        rows = model.objects.using(router.db_for_write(model))
        while rows.delete_older(now - KEEP) and not should_stop():
            pass
