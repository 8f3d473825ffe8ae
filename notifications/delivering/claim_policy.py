"""Decides what a worker may claim.

Pauses, open circuits, rate limits of providers and floods restrict it.
"""

import logging
from datetime import UTC, datetime, timedelta

from notifications.conf import is_off
from notifications.delivering.limits import is_flooded
from notifications.delivering.providers.choice import Providers
from notifications.models import Pause
from notifications.models.pause import EVERYTHING

logger = logging.getLogger("notifications.dispatch")

REFRESH_INTERVAL = timedelta(seconds=1)
QUEUE_POLL_SECONDS = 0.1
"""The pause between two claims while deliveries wait for a provider's rate limit."""


class ClaimPolicy:
    """What one worker thread may claim. Its information about pauses and floods is at most a second old."""

    def __init__(self, using: str, providers: Providers) -> None:
        self.using = using
        self.pauses = Pause.objects.using(using)
        self.providers = providers
        self._paused: frozenset[str] = frozenset()
        self._read_at: datetime | None = None
        self._resting: dict[str, datetime] = {}
        self._queued_until = datetime.min.replace(tzinfo=UTC)
        self._claimed_at = datetime.max.replace(tzinfo=UTC)
        self.is_flooded = False

    def get_exhausted_channels(self, now: datetime) -> set[str]:
        """Return the channels without an available provider that are not paused."""
        return self.providers.unavailable_channels(now) - self._paused

    def get_blocked_channels(self, now: datetime) -> frozenset[str] | None:
        """Return the channels that nothing may be claimed of, or None if nothing at all may be claimed."""
        self._claimed_at = now
        if is_off():
            return None
        if self._read_at is None or not timedelta() <= now - self._read_at < REFRESH_INTERVAL:
            self._refresh(now)
        if EVERYTHING in self._paused:
            return None
        resting = {channel for channel, until in self._resting.items() if now < until}
        return self._paused | self.providers.unavailable_channels(now) | resting

    def get_half_open_channels(self, now: datetime) -> set[str]:
        """Return the channels whose providers wait for a probe and that are not paused.

        Call :meth:`get_blocked_channels` first.
        """
        return self.providers.half_open_channels(now) - self._paused - {EVERYTHING}

    def rest_channel(self, channel: str, now: datetime, seconds: float, queue_seconds: float) -> None:
        """Let this thread claim nothing of a channel for so many seconds.

        :param queue_seconds: the time in which the provider can take all deliveries that wait for it.
        """
        self._resting[channel] = now + timedelta(seconds=seconds)
        self._queued_until = max(self._queued_until, now + timedelta(seconds=queue_seconds))

    def get_rest_seconds(self, now: datetime) -> float | None:
        """Return the seconds until a delivery that waits for a provider may be claimed; None if none waits."""
        # The last claim could not take the deliveries that have become due since.
        since = min(now, self._claimed_at)
        waits = [max(0.0, (until - now).total_seconds()) for until in self._resting.values() if since < until]
        if since < self._queued_until:
            waits.append(QUEUE_POLL_SECONDS)
        return min(waits, default=None)

    def _refresh(self, now: datetime) -> None:
        self._paused, self._read_at = self.pauses.channel_names(), now
        was_flooded, self.is_flooded = self.is_flooded, is_flooded(self.using)
        if was_flooded != self.is_flooded:
            logger.warning(
                "Too many deliveries are ready: only CRITICAL and HIGH ones are sent, and occasionally the oldest."
                if self.is_flooded
                else "Fewer deliveries are ready now: all are sent again."
            )
