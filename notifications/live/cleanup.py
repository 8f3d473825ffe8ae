"""The periodic task that deletes live messages and presences whose time has passed."""

from collections.abc import Callable
from datetime import datetime

from django.db import router

from notifications.models import LiveMessage, Presence


def delete_expired(now: datetime, should_stop: Callable[[], bool]) -> None:
    """Delete the live messages that no page shows any more, and the presences that have ended."""
    LiveMessage.objects.using(router.db_for_write(LiveMessage)).delete_expired(now)
    Presence.objects.using(router.db_for_write(Presence)).delete_expired(now)
