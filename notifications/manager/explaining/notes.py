"""What keeps deliveries back besides the gates, at this moment: pauses, and that no worker lives."""

from datetime import datetime
from functools import cached_property

from notifications import conf
from notifications.manager.explaining.holders import alive_since
from notifications.models import Heartbeat, Pause
from notifications.models.pause import EVERYTHING


class Notes:
    """Of one explanation; each table is asked once, and only if it is asked for."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def about(self, channel: str) -> tuple[str, ...]:
        """What holds for a channel whatever the gates say."""
        if not conf.current().enabled:
            return ("NOTIFICATIONS['ENABLED'] is False: it would wait until that is True.",)
        words = {EVERYTHING: "Everything is paused", channel: f"The channel {channel} is paused"}
        return tuple(
            f"{words[name]}{f' ({note})' if note else ''}: it would wait for resume_notifications."
            for name, note in self._pauses.items()
            if name in words
        )

    def about_workers(self, more: str = "") -> tuple[str, ...]:
        """What holds for all that is due.

        :param more: what to add where a worker is all that it waits for.
        """
        return () if self._has_worker else (f"No worker is running at this moment{more}.",)

    @cached_property
    def _has_worker(self) -> bool:
        return Heartbeat.objects.filter(beat_at__gte=alive_since(self._now)).exists()

    @cached_property
    def _pauses(self) -> dict[str, str]:
        return dict(Pause.objects.values_list("channel", "note"))
