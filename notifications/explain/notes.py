"""Obstacles other than gates: a pause, notifications that are switched off, and workers that are not running."""

from datetime import datetime, timedelta
from functools import cached_property

from notifications import conf
from notifications.models import Delivery, Heartbeat, Pause
from notifications.models.pause import EVERYTHING
from notifications.outcomes import DeliveryState

WITH_A_WORKER = (DeliveryState.CLAIMED, DeliveryState.SENDING)


def find_lost_contact(delivery: Delivery, now: datetime) -> datetime | None:
    """Return when the worker that has a delivery was last heard from; None if it is alive or there is none."""
    if delivery.state not in WITH_A_WORKER:
        return None
    beat = Heartbeat.objects.filter(pk=delivery.owner).values_list("beat_at", flat=True).first()
    if beat is not None and beat < _get_oldest_live_beat(now):
        return beat
    return delivery.lease if delivery.lease is not None and delivery.lease < now else None


def _get_oldest_live_beat(now: datetime) -> datetime:
    """Return the time since which a living worker has recorded a heartbeat."""
    return now - timedelta(seconds=conf.current().lease_seconds)


class Notes:
    """The notes of one explanation. Each table is read at most once, and only if it is needed.

    :param by_worker: whether a due delivery waits for a worker.
    """

    def __init__(self, now: datetime, by_worker: bool = True) -> None:
        self._now = now
        self._by_worker = by_worker

    def describe_due(self, channel: str) -> str:
        """Return the summary for a delivery that the gates let through now. It agrees with the notes."""
        if pause_ends := self.describe_pause(channel):
            return f"It would wait until {pause_ends}."
        if self._by_worker and not self.has_worker:
            return "It would be sent as soon as a worker runs."
        return "It would be sent immediately."

    def get_notes(self, channel: str, is_due: bool, waits_only_for_worker: bool = True) -> tuple[str, ...]:
        """Return all notes about a delivery.

        :param waits_only_for_worker: whether it is sent when a worker starts, unless it is paused.
        """
        paused = self._describe_pauses(channel)
        if not is_due or not self._by_worker or self.has_worker:
            return paused
        more = "; the delivery waits until one starts" if waits_only_for_worker and not paused else ""
        return (*paused, f"No worker is running now{more}.")

    def _describe_pauses(self, channel: str) -> tuple[str, ...]:
        if not conf.current().enabled:
            return ("NOTIFICATIONS['ENABLED'] is False: nothing is sent until it is True.",)
        return tuple(
            f"{fact[0].upper()}{fact[1:]}{f' ({note})' if note else ''}: nothing is sent until resume_notifications is "
            "run."
            for fact, note in self._pauses_of(channel)
        )

    def describe_pause(self, channel: str) -> str:
        """Return what a paused channel waits for, as a clause after "until"; empty if it is not paused."""
        if not conf.current().enabled:
            return "NOTIFICATIONS['ENABLED'] is True"
        pauses = self._pauses_of(channel)
        return f"resume_notifications is run, because {pauses[0][0]}" if pauses else ""

    def _pauses_of(self, channel: str) -> list[tuple[str, str]]:
        """Return the pauses that concern a channel, each as a clause and the note that was given for it."""
        facts = {EVERYTHING: "everything is paused", channel: f"the channel {channel} is paused"}
        return [(fact, self._pauses[name]) for name, fact in facts.items() if name in self._pauses]

    @cached_property
    def has_worker(self) -> bool:
        return Heartbeat.objects.filter(beat_at__gte=_get_oldest_live_beat(self._now)).exists()

    @cached_property
    def _pauses(self) -> dict[str, str]:
        return dict(Pause.objects.values_list("channel", "note"))
