"""Records which users have a stream in this process, for events that prefer a channel of open pages.

Nothing is recorded while no event needs it.
"""

import time
from collections.abc import Collection
from typing import Any
from uuid import uuid4

from notifications import conf
from notifications.core import clock
from notifications.events import NOTIFICATION_EVENTS, NotificationEvent
from notifications.models import Presence
from notifications.sending.gates.reach import needs_presence

RENEW_EVERY = 20.0
"""Seconds between two writes of the same presence; a third of its lifetime."""


def is_presence_needed() -> bool:
    """Return whether an event prefers an enabled channel that reaches only people with an open page."""
    return any(event.prefer and _needs_presence(event) for event in NOTIFICATION_EVENTS.values())


def _needs_presence(event: NotificationEvent) -> bool:
    enabled = conf.current().enabled_channels
    return any(name in enabled and needs_presence(entry) for name, entry in event.preferred.items())


class PresenceRecorder:
    """Writes the presences of one process. It belongs to the thread of a hub."""

    def __init__(self, using: str) -> None:
        self._using = using
        self._hub = uuid4().hex
        self._recorded: frozenset[Any] = frozenset()
        self._renewed_at = 0.0

    def record(self, user_ids: Collection[Any]) -> None:
        """Record that exactly these users have a stream now. Most calls write nothing."""
        present = frozenset(user_ids)
        now = time.monotonic()
        is_due = bool(present) and now - self._renewed_at >= RENEW_EVERY
        if (present == self._recorded and not is_due) or not (self._recorded or is_presence_needed()):
            return
        rows, moment = Presence.objects.using(self._using), clock.cached_now(self._using)
        if new := present if is_due else present - self._recorded:
            rows.renew(new, self._hub, moment)
        if gone := self._recorded - present:
            rows.end(gone, self._hub, moment)
        self._recorded = present
        if is_due:
            self._renewed_at = now
