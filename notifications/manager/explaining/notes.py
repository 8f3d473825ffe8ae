"""What keeps deliveries back besides the gates, at this moment: pauses, and that no worker lives."""

from datetime import datetime, timedelta
from functools import cached_property

from notifications import conf
from notifications.models import Heartbeat, Pause
from notifications.models.pause import EVERYTHING


class Notes:
    """Of one explanation; each table is asked once, and only if it is asked for."""

    def about(self, channel: str) -> tuple[str, ...]:
        """What holds for a channel whatever the gates say."""
        words = {EVERYTHING: "Everything is paused", channel: f"The channel {channel} is paused"}
        return tuple(
            f"{words[name]}{f' ({note})' if note else ''}: it would wait for resume_notifications."
            for name, note in self._pauses.items()
            if name in words
        )

    def about_workers(self, now: datetime) -> tuple[str, ...]:
        """What holds for all that is ready."""
        since = now - timedelta(seconds=conf.current().lease_seconds)
        alive = Heartbeat.objects.filter(beat_at__gte=since).exists()
        return () if alive else ("No worker is running at this moment; it goes out when one does.",)

    @cached_property
    def _pauses(self) -> dict[str, str]:
        return dict(Pause.objects.values_list("channel", "note"))
