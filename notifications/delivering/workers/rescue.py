"""The rescue of deliveries from lost workers.

A worker is lost if its heartbeat has not changed for a whole lease. Clocks can jump, so a delivery is taken back only
if its worker still looks lost two heartbeats later, by the monotonic clock.

A database that is down or locked silences all workers. So a process never takes back its own deliveries, and after its
own heartbeat has paused it gives all other workers a whole lease to write theirs.
"""

import time
from collections import Counter
from datetime import datetime, timedelta

from django.db import transaction

from notifications import conf
from notifications.core.databases import read_from_primary
from notifications.delivering.attempt_outcomes import build_attempt_row, decide_retry
from notifications.delivering.fallback import queue_fallbacks
from notifications.delivering.outcome_hooks import call_outcome_hooks
from notifications.delivering.outcome_writer import OutcomeWriter, send_outcome_signal, warn_of_lost_contact
from notifications.delivering.providers.choice import AttemptResult
from notifications.delivering.workers.heartbeat import HeartbeatThread
from notifications.events import NOTIFICATION_EVENTS
from notifications.models import Delivery, Heartbeat, NotificationLog
from notifications.outcomes import DeliveryState, Reason, Receipt, Verdict
from notifications.storage.outbox import LostClaim, StateChange

Suspect = tuple[int, int]
STALE_HEARTBEAT_LEASES = 10
CONFIRMATION_BEATS = 2
MIN_WRITE_DELAY = 0.1
"""Seconds. Even a busy machine takes less to write nothing."""


class Rescuer:
    """Rescues deliveries for one worker process.

    :param heartbeat: the heartbeat of this process. Deliveries that its threads work on are not taken back.
    """

    def __init__(self, using: str, heartbeat: HeartbeatThread | None = None) -> None:
        self.using = using
        self.heartbeat = heartbeat
        self._first_seen: dict[Suspect, float] = {}
        self._next_rescue = 0.0
        self._generation = 1
        self._judge_at = 0.0

    @property
    def has_suspects(self) -> bool:
        """Whether the last call of :meth:`rescue` found deliveries that a second call must confirm."""
        return bool(self._first_seen)

    @property
    def confirmation_seconds(self) -> float:
        """The seconds between the call that finds a suspect and the one that takes it back."""
        return CONFIRMATION_BEATS * conf.current().beat_seconds

    def rescue_if_due(self, now: datetime) -> None:
        """Rescue at most once in each ``BEAT_SECONDS``, and not at every commit that wakes a worker."""
        if time.monotonic() >= self._next_rescue:
            self._next_rescue = time.monotonic() + conf.current().beat_seconds
            self.rescue(now)

    @read_from_primary()
    def rescue(self, now: datetime) -> Counter[str]:
        """Take back deliveries that have looked lost for two heartbeats; return how many got each state."""
        # The outcomes that workers of this machine could not record come first.
        OutcomeWriter().recover()
        if self._is_writing_slow() or not self._can_judge():
            self._first_seen = {}
            return Counter()
        silent = self._silent_workers(now)
        own_ids = self.heartbeat.active_ids() if self.heartbeat else frozenset()
        found = {
            (pk, fence): owner
            for pk, fence, owner in Delivery.objects.using(self.using).find_suspects(list(silent), now)
            if pk not in own_ids
        }
        seen = time.monotonic()
        self._first_seen = {suspect: self._first_seen.get(suspect, seen) for suspect in found}
        wait = self.confirmation_seconds
        confirmed = [suspect for suspect, first in self._first_seen.items() if seen - first >= wait]
        if not confirmed:
            self._delete_stale_heartbeats(silent - set(found.values()), now)
            return Counter()
        alive = set(Heartbeat.objects.using(self.using).values_list("pk", flat=True)) - silent
        lost = [LostClaim(*suspect, died=int(found[suspect] not in alive)) for suspect in confirmed]
        return self._take_back(lost, now)

    def _is_writing_slow(self) -> bool:
        """Return whether a write had to wait. Then other workers could not write either, and get a whole lease."""
        began = time.monotonic()
        Delivery.objects.using(self.using).wait_until_writable()
        is_slow = time.monotonic() - began >= max(MIN_WRITE_DELAY, conf.current().beat_seconds / 2)
        if is_slow:
            self._judge_at = time.monotonic() + conf.current().lease_seconds
        return is_slow

    def _can_judge(self) -> bool:
        """Return whether this process has itself written heartbeats for long enough to call other workers silent."""
        if self.heartbeat is None:
            return time.monotonic() >= self._judge_at
        if self.heartbeat.generation != self._generation:
            self._generation = self.heartbeat.generation
            self._judge_at = time.monotonic() + conf.current().lease_seconds
        return self.heartbeat.is_healthy() and time.monotonic() >= self._judge_at

    def _delete_stale_heartbeats(self, silent: set[str], now: datetime) -> None:
        """Delete the heartbeats of workers that died long ago and have no deliveries left."""
        before = now - timedelta(seconds=conf.current().lease_seconds * STALE_HEARTBEAT_LEASES)
        stale = Heartbeat.objects.using(self.using).filter(pk__in=silent, beat_at__lt=before)
        stale.delete()

    def _silent_workers(self, now: datetime) -> set[str]:
        before = now - timedelta(seconds=conf.current().lease_seconds)
        return set(Heartbeat.objects.using(self.using).filter(beat_at__lt=before).values_list("pk", flat=True))

    def _take_back(self, lost: list[LostClaim], now: datetime) -> Counter[str]:
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
        """Apply ``on_unknown`` of the event to deliveries that may have been sent, and log each as an attempt."""
        NotificationLog.objects.using(self.using).append(_attempt_row_of(row, now) for row in rows)
        decided = {row.pk: _decide_after_loss(row, row.pk in died, now) for row in rows if _may_retry(row)}
        Delivery.objects.using(self.using).settle(list(decided.values()), now)
        queue_fallbacks([(row, decided[row.pk]) for row in rows if row.pk in decided], self.using, now)
        outcomes = [(row, decided.get(row.pk) or _unchanged(row)) for row in rows]
        call_outcome_hooks(outcomes, self.using, now)
        for row, change in outcomes:
            send_outcome_signal(row, change, self.using)


def _attempt_row_of(row: Delivery, now: datetime) -> NotificationLog:
    receipt = Receipt(None, Verdict.UNKNOWN, error="The worker that was sending this stopped responding.")
    return build_attempt_row(AttemptResult(row, receipt, 0.0), _unchanged(row), now)


def _may_retry(row: Delivery) -> bool:
    event = NOTIFICATION_EVENTS.named(row.notification.event)
    return row.state == DeliveryState.UNKNOWN and (event is None or event.on_unknown == "retry")


def _unchanged(row: Delivery) -> StateChange:
    return StateChange(row.pk, row.fence, row.state, row.state, row.reason)


def _decide_after_loss(row: Delivery, died: bool, now: datetime) -> StateChange:
    state, due_at = decide_retry(row, NOTIFICATION_EVENTS.named(row.notification.event), now)
    # The delivery may have killed its worker, so it is tried alone.
    reason = Reason.WORKER_LOST if died and state == DeliveryState.RETRY else row.reason
    return StateChange(row.pk, row.fence, DeliveryState.UNKNOWN, state, reason, due_at)
