"""Taking back what lost workers left behind.

A worker is lost when its heartbeat is silent for a whole lease. Clocks jump, so nobody is condemned at first sight:
what looks lost must look the same two heartbeats later, by a clock that never jumps.

A database that was away, or locked, silences everybody. So a process never takes back its own deliveries, and after its
own heartbeat has stood still it gives all others a whole lease to be heard again.
"""

import time
from collections import Counter
from datetime import datetime, timedelta

from django.db import transaction

from notifications import conf
from notifications.core.primary import read_from_primary
from notifications.delivering.fallback import queue_fallbacks
from notifications.delivering.outcome_writer import OutcomeWriter, send_outcome_signal, warn_of_lost_contact
from notifications.delivering.providers.attempt_result import AttemptResult
from notifications.delivering.record import build_attempt_row, decide_retry
from notifications.delivering.workers.heartbeat import HeartbeatThread
from notifications.events import NOTIFICATION_EVENTS
from notifications.models import Delivery, Heartbeat, NotificationLog
from notifications.outcomes import DeliveryState, Reason, Receipt, Verdict
from notifications.storage.outbox import Lost, StateChange

Suspect = tuple[int, int]
FORGOTTEN_AFTER_LEASES = 10
PATIENCE_BEATS = 2
LEAST_HOLD_UP = 0.1
"""Seconds. A busy machine takes less to write nothing."""


class Rescuer:
    """Looks now and then; belongs to one worker process.

    :param pulse: the heartbeat of this process; what its threads have in hand is left alone.
    """

    def __init__(self, using: str, pulse: HeartbeatThread | None = None) -> None:
        self.using = using
        self.pulse = pulse
        self._first_seen: dict[Suspect, float] = {}
        self._next_look = 0.0
        self._lives = 1
        self._wait_until = 0.0

    @property
    def has_suspects(self) -> bool:
        """Whether the last look found something that a second look must confirm."""
        return bool(self._first_seen)

    @property
    def patience(self) -> float:
        """Seconds between the look that finds a suspect and the one that takes it back."""
        return PATIENCE_BEATS * conf.current().beat_seconds

    def look_now_and_then(self, now: datetime) -> None:
        """Look, but not at every commit that wakes a worker."""
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + conf.current().beat_seconds
            self.look(now)

    @read_from_primary()
    def look(self, now: datetime) -> Counter[str]:
        """Take back what has looked lost for two heartbeats; returns how many rows came to which state."""
        # First what workers of this machine have accepted and could not record.
        OutcomeWriter().recover()
        if self._was_held_up() or not self._may_judge():
            self._first_seen = {}
            return Counter()
        silent = self._silent(now)
        mine = self.pulse.in_hand() if self.pulse else frozenset()
        found = {
            (pk, fence): owner
            for pk, fence, owner in Delivery.objects.using(self.using).suspects(list(silent), now)
            if pk not in mine
        }
        seen = time.monotonic()
        self._first_seen = {suspect: self._first_seen.get(suspect, seen) for suspect in found}
        confirmed = [suspect for suspect, first in self._first_seen.items() if seen - first >= self.patience]
        if not confirmed:
            self._forget(silent - set(found.values()), now)
            return Counter()
        alive = set(Heartbeat.objects.using(self.using).values_list("pk", flat=True)) - silent
        lost = [Lost(*suspect, died=int(found[suspect] not in alive)) for suspect in confirmed]
        return self._take_back(lost, now)

    def _was_held_up(self) -> bool:
        """Whether writing had to wait, so that others cannot have recorded anything either; they get a whole lease."""
        began = time.monotonic()
        Delivery.objects.using(self.using).wait_to_write()
        held_up = time.monotonic() - began >= max(LEAST_HOLD_UP, conf.current().beat_seconds / 2)
        if held_up:
            self._wait_until = time.monotonic() + conf.current().lease_seconds
        return held_up

    def _may_judge(self) -> bool:
        """Whether this process has been heard itself for long enough to call others silent."""
        if self.pulse is None:
            return time.monotonic() >= self._wait_until
        if self.pulse.lives != self._lives:
            self._lives = self.pulse.lives
            self._wait_until = time.monotonic() + conf.current().lease_seconds
        return self.pulse.is_healthy() and time.monotonic() >= self._wait_until

    def _forget(self, silent: set[str], now: datetime) -> None:
        """Rows of workers that have been silent for long and hold nothing: they died, and are rescued."""
        long_ago = now - timedelta(seconds=conf.current().lease_seconds * FORGOTTEN_AFTER_LEASES)
        gone = Heartbeat.objects.using(self.using).filter(pk__in=silent, beat_at__lt=long_ago)
        gone.delete()

    def _silent(self, now: datetime) -> set[str]:
        before = now - timedelta(seconds=conf.current().lease_seconds)
        return set(Heartbeat.objects.using(self.using).filter(beat_at__lt=before).values_list("pk", flat=True))

    def _take_back(self, lost: list[Lost], now: datetime) -> Counter[str]:
        with transaction.atomic(using=self.using):
            outbox = Delivery.objects.using(self.using)
            rows = outbox.with_notifications(outbox.take_back(lost, now))
            died = {item.id for item in lost if item.died}
            self._decide([row for row in rows if row.state != DeliveryState.READY], died, now)
        for row in rows:
            if row.reason in (Reason.LOST_CONTACT, Reason.WORKER_LOST) and row.state != DeliveryState.READY:
                warn_of_lost_contact(row.pk, row.state)
        return Counter(row.state for row in rows)

    def _decide(self, rows: list[Delivery], died: set[int], now: datetime) -> None:
        """What may have been sent follows its event's ``on_unknown``; each such row is logged as an attempt."""
        NotificationLog.objects.using(self.using).append(_lost_row(row, now) for row in rows)
        decided = {row.pk: _decision(row, row.pk in died, now) for row in rows if _may_retry(row)}
        Delivery.objects.using(self.using).settle(list(decided.values()), now)
        queue_fallbacks([(row, decided[row.pk]) for row in rows if row.pk in decided], self.using, now)
        for row in rows:
            send_outcome_signal(row, decided.get(row.pk) or _as_it_is(row), self.using)


def _lost_row(row: Delivery, now: datetime) -> NotificationLog:
    receipt = Receipt(None, Verdict.UNKNOWN, error="The worker that was sending this stopped answering.")
    return build_attempt_row(AttemptResult(row, receipt, 0.0), row.reason, now)


def _may_retry(row: Delivery) -> bool:
    event = NOTIFICATION_EVENTS.named(row.notification.event)
    return row.state == DeliveryState.UNKNOWN and (event is None or event.on_unknown == "retry")


def _as_it_is(row: Delivery) -> StateChange:
    return StateChange(row.pk, row.fence, row.state, row.state, row.reason)


def _decision(row: Delivery, died: bool, now: datetime) -> StateChange:
    state, due_at = decide_retry(row, NOTIFICATION_EVENTS.named(row.notification.event), now)
    # It may be what killed its worker: it is tried alone.
    reason = Reason.WORKER_LOST if died and state == DeliveryState.RETRY else row.reason
    return StateChange(row.pk, row.fence, DeliveryState.UNKNOWN, state, reason, due_at)
