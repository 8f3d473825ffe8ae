"""What stands in the way of claiming: pauses, providers that are all being left alone or can take no more, a flood."""

import logging
from datetime import UTC, datetime, timedelta

from notifications.core.switch import is_off
from notifications.delivering.limits import is_flooded
from notifications.delivering.providers.choice import Providers
from notifications.models import Pause
from notifications.models.pause import EVERYTHING

logger = logging.getLogger("notifications.dispatch")

FRESH_FOR = timedelta(seconds=1)
NEXT_TURN = 0.1
"""Seconds between two looks while some wait for their turn."""


class ClaimPolicy:
    """Of one worker thread; what it reads is at most a second old."""

    def __init__(self, using: str, providers: Providers) -> None:
        self.using = using
        self.pauses = Pause.objects.using(using)
        self.providers = providers
        self._paused: frozenset[str] = frozenset()
        self._read_at: datetime | None = None
        self._resting: dict[str, datetime] = {}
        self._last_turn = datetime.min.replace(tzinfo=UTC)
        self._asked_at = datetime.max.replace(tzinfo=UTC)
        self.is_flooded = False

    def exhausted(self, now: datetime) -> set[str]:
        """Channels whose providers are all being left alone, and that nobody has paused."""
        return self.providers.unavailable_channels(now) - self._paused

    def closed(self, now: datetime) -> frozenset[str] | None:
        """Channels of which nothing should be claimed; None if nothing should be claimed at all."""
        self._asked_at = now
        if is_off():
            return None
        if self._read_at is None or not timedelta() <= now - self._read_at < FRESH_FOR:
            self._read(now)
        if EVERYTHING in self._paused:
            return None
        resting = {channel for channel, until in self._resting.items() if now < until}
        return self._paused | self.providers.unavailable_channels(now) | resting

    def half_open(self, now: datetime) -> set[str]:
        """Channels whose providers wait for a probe, and that nobody has paused. :meth:`closed` must come before."""
        return self.providers.half_open_channels(now) - self._paused - {EVERYTHING}

    def rest(self, channel: str, now: datetime, seconds: float, last_turn: float) -> None:
        """Let this thread claim nothing of a channel for a moment; whoever waits comes within ``last_turn`` seconds."""
        self._resting[channel] = now + timedelta(seconds=seconds)
        self._last_turn = max(self._last_turn, now + timedelta(seconds=last_turn))

    def get_rest_seconds(self, now: datetime) -> float | None:
        """Seconds until somebody's turn may come who waits for a provider; None if nobody does."""
        # What has become due since the last claim was not looked at yet.
        since = min(now, self._asked_at)
        waits = [max(0.0, (until - now).total_seconds()) for until in self._resting.values() if since < until]
        if since < self._last_turn:
            waits.append(NEXT_TURN)
        return min(waits, default=None)

    def _read(self, now: datetime) -> None:
        self._paused, self._read_at = self.pauses.names(), now
        was, self.is_flooded = self.is_flooded, is_flooded(self.using)
        if was != self.is_flooded:
            logger.warning(
                "Too much is ready: only what is CRITICAL or HIGH is sent, and now and then the oldest."
                if self.is_flooded
                else "What is ready has become less: everything is sent again."
            )
