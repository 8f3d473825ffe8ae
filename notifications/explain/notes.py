"""What keeps deliveries back besides the gates, at this moment: pauses, and that no worker lives."""

from datetime import datetime
from functools import cached_property

from notifications import conf
from notifications.explain.worker_liveness import alive_since
from notifications.models import Heartbeat, Pause
from notifications.models.pause import EVERYTHING


class Notes:
    """Of one explanation; each table is asked once, and only if it is asked for.

    :param by_worker: what is due waits for a worker.
    """

    def __init__(self, now: datetime, by_worker: bool = True) -> None:
        self._now = now
        self._by_worker = by_worker

    def describe_due(self, channel: str) -> str:
        """What would become of it if the gates let it go at once, in accord with the notes."""
        if obstacle := self.find_obstacle(channel):
            return f"It would wait for {obstacle}."
        if self._by_worker and not self.has_worker:
            return "It would go out as soon as a worker runs."
        return "It would go out at once."

    def describe_delay(self, channel: str) -> str:
        """What to add to a time to come; empty if nothing makes it later."""
        obstacle = self.find_obstacle(channel)
        return f" at the earliest, and waits for {obstacle}" if obstacle else ""

    def describe_departure(self, channel: str, at: datetime) -> tuple[str, ...]:
        paused = self.about(channel)
        more = "" if paused else "; it would go out when one does"
        return (*paused, *(self.about_workers(more) if at <= self._now and self._by_worker else ()))

    def about(self, channel: str) -> tuple[str, ...]:
        """What holds for a channel whatever the gates say."""
        if not conf.current().enabled:
            return ("NOTIFICATIONS['ENABLED'] is False: it would wait until that is True.",)
        return tuple(
            f"{said[0].upper()}{said[1:]}{f' ({note})' if note else ''}: it would wait for resume_notifications."
            for said, note in self._pauses_of(channel)
        )

    def find_obstacle(self, channel: str) -> str:
        """The same as :meth:`about` in the middle of a sentence; empty if nothing stands in the way."""
        if not conf.current().enabled:
            return "NOTIFICATIONS['ENABLED'], which is False"
        return next((f"resume_notifications, since {said}" for said, _note in self._pauses_of(channel)), "")

    def _pauses_of(self, channel: str) -> list[tuple[str, str]]:
        words = {EVERYTHING: "everything is paused", channel: f"the channel {channel} is paused"}
        return [(said, self._pauses[name]) for name, said in words.items() if name in self._pauses]

    def about_workers(self, more: str = "") -> tuple[str, ...]:
        """What holds for all that is due.

        :param more: what to add where a worker is all that it waits for.
        """
        return () if self.has_worker else (f"No worker is running at this moment{more}.",)

    @cached_property
    def has_worker(self) -> bool:
        return Heartbeat.objects.filter(beat_at__gte=alive_since(self._now)).exists()

    @cached_property
    def _pauses(self) -> dict[str, str]:
        return dict(Pause.objects.values_list("channel", "note"))
