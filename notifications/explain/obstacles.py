"""What delays a delivery apart from the gates: pauses, open circuits, a flood, and workers that are not running."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cached_property
from typing import NamedTuple
from zoneinfo import ZoneInfo

from django.db.models import DateTimeField, Value
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from notifications import conf
from notifications.conf.channels import get_circuit_key
from notifications.events import NotificationPriority
from notifications.explain.explanation import format_time
from notifications.models import Circuit, Delivery, Heartbeat, Pause
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


class Delay(NamedTuple):
    """How a delivery is delayed apart from the gates.

    :param until: the earliest time at which it is sent.
    :param end: the end of the first obstacle, as a clause after "until"; empty if there is none.
    :param notes: a sentence for each obstacle.
    """

    until: datetime
    end: str
    notes: tuple[str, ...]


class Obstacles:
    """The obstacles of one explanation. Each table is read at most once, and only if it is needed.

    :param zone: the time zone in which times are given.
    :param by_worker: whether a due delivery waits for a worker.
    """

    def __init__(self, now: datetime, zone: ZoneInfo, by_worker: bool = True) -> None:
        self._now, self._zone, self._by_worker = now, zone, by_worker

    def find_delay(
        self, channel: str, due_at: datetime, score: int, is_due: bool, waits_for_worker: bool = True
    ) -> Delay:
        """Return the delay of a delivery with this score that the gates let through at ``due_at``.

        :param waits_for_worker: whether it is sent when a worker starts, unless there is another obstacle.
        """
        until, error = self._find_circuit_end(channel, due_at)
        found = [*self._find_switches(channel)]
        if until > due_at:
            fact = _("the circuit of every provider of {channel} is open").format(channel=channel)
            found.append(_describe(fact, format_time(until, self._zone), error))
        if due_at <= self._now and score < NotificationPriority.HIGH.band[0] and self._is_flooded:
            note = _(
                "More than THROTTLE_DEPTH deliveries are ready, so workers send only CRITICAL and HIGH ones and, from "
                "time to time, the oldest."
            )
            found.append((_("fewer deliveries are ready, or it is one of the oldest"), note))
        notes = [note for _end, note in found]
        if is_due and self.lacks_worker:
            alone = _("No worker is running now; the delivery waits until one starts.")
            notes.append(_("No worker is running now.") if found or not waits_for_worker else alone)
        return Delay(until, found[0][0] if found else "", tuple(notes))

    def _find_switches(self, channel: str) -> Iterator[tuple[str, str]]:
        """Yield for the setting and each pause that stop a channel the end, as a clause, and a sentence."""
        if not conf.current().enabled:
            note = _("NOTIFICATIONS['ENABLED'] is False: nothing is sent until it is True.")
            yield _("NOTIFICATIONS['ENABLED'] is True"), note
            return
        pauses, _circuits = self._pauses_and_circuits
        facts = {EVERYTHING: _("everything is paused"), channel: _("the channel {channel} is paused")}
        for name, fact in facts.items():
            if name in pauses:
                yield _describe(fact.format(channel=channel), _("resume_notifications is run"), pauses[name])

    def _find_circuit_end(self, channel: str, due_at: datetime) -> tuple[datetime, str]:
        """Return when a provider can be used, at ``due_at`` at the earliest, and the last error of the provider."""
        configured = conf.current().channel(channel)
        _pauses, circuits = self._pauses_and_circuits
        keys = [get_circuit_key(channel, provider.name) for provider in configured.providers] if configured else []
        return max((due_at, ""), min((circuits.get(key, (due_at, "")) for key in keys), default=(due_at, "")))

    @cached_property
    def lacks_worker(self) -> bool:
        """Whether due deliveries wait for a worker, and none is running."""
        return self._by_worker and not Heartbeat.objects.filter(beat_at__gte=_get_oldest_live_beat(self._now)).exists()

    @cached_property
    def _is_flooded(self) -> bool:
        depth = conf.current().throttle_depth if self._by_worker else 0
        return Delivery.objects.has_more_ready_than(depth)

    @cached_property
    def _pauses_and_circuits(self) -> tuple[dict[str, str], dict[str, tuple[datetime, str]]]:
        """The notes of the pauses by channel, and the ends and errors of the open circuits by key. One statement."""
        pauses = Pause.objects.values_list("channel", "note", Value(None, DateTimeField()))
        circuits = Circuit.objects.filter(open_until__gt=self._now).values_list("key", "error", "open_until")
        rows = list(pauses.union(circuits, all=True))
        notes = {name: text for name, text, until in rows if until is None}
        return notes, {name: (until, text) for name, text, until in rows if until is not None}


def _describe(fact: str, end: str, remark: str) -> tuple[str, str]:
    """Return the end of an obstacle as a clause after "until", and the obstacle as a sentence."""
    values = {"fact": fact, "end": end, "remark": f" ({remark.removesuffix('.')})" if remark else ""}
    note = _("{fact}{remark}: nothing is sent until {end}.").format(**values)
    return _("{end}, because {fact}").format(**values), capfirst(note)
