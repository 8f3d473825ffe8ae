"""What stands in the way of whole channels: pauses, and providers that are all being left alone."""

from datetime import datetime, timedelta

from notifications.dispatch.providers import Providers
from notifications.models import Pause
from notifications.models.pause import EVERYTHING

FRESH_FOR = timedelta(seconds=1)


class Outlook:
    """Of one worker thread; what it reads is at most a second old."""

    def __init__(self, using: str, providers: Providers) -> None:
        self.pauses = Pause.objects.using(using)
        self.providers = providers
        self._paused: frozenset[str] = frozenset()
        self._read_at: datetime | None = None

    def exhausted(self, now: datetime) -> set[str]:
        """Channels whose providers are all being left alone, and that nobody has paused."""
        return self.providers.shut(now) - self._paused

    def closed(self, now: datetime) -> frozenset[str] | None:
        """Channels of which nothing should be claimed; None if nothing should be claimed at all."""
        if self._read_at is None or not timedelta() <= now - self._read_at < FRESH_FOR:
            self._paused, self._read_at = self.pauses.names(), now
        if EVERYTHING in self._paused:
            return None
        return self._paused | self.providers.shut(now)
