"""Deletion of links that have ended."""

from datetime import datetime

from django.db import router

from notifications.delivering.workers.periodic_tasks import ShouldStop
from notifications.models import MagicLink


def delete_expired_links(now: datetime, should_stop: ShouldStop) -> None:
    """Delete the links that ended more than an hour ago."""
    MagicLink.objects.using(router.db_for_write(MagicLink)).delete_expired(now)
