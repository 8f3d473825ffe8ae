"""Claiming: which deliveries a worker thread may claim, how many, and in which order.

Pauses, open circuits, rate limits of providers and floods restrict the claims. A claim takes few deliveries at first,
and more while the backlog lasts and batches are quick. A large claim costs less for each delivery, but a CRITICAL
delivery that is queued meanwhile waits until the batch has ended. So the size follows the time that batches take, and a
batch that takes longer than expected gives back the rest.
"""

import logging
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from notifications import conf
from notifications.conf import is_off
from notifications.delivering.fallback import FallbackTakeover
from notifications.delivering.groups import URGENT_SCORE
from notifications.delivering.outcome_writer import OutcomeWriter, send_outcome_signal
from notifications.delivering.pending_groups import PendingGroups
from notifications.delivering.providers.choice import Providers
from notifications.delivering.turns import TurnHurrier
from notifications.models import Delivery, Pause
from notifications.models.pause import EVERYTHING
from notifications.outcomes import DeliveryState, Reason
from notifications.storage.outbox import StateChange

logger = logging.getLogger("notifications.dispatch")

OLDEST_EVERY = 10
"""Every tenth claim takes the oldest deliveries first."""
REFRESH_INTERVAL = timedelta(seconds=1)
"""How long a thread uses what it has read about pauses and floods."""
RELEASE_INTERVAL = timedelta(seconds=1)
FLOOD_CLAIM_INTERVAL = timedelta(seconds=1)
LEASE_SECONDS_PER_DELIVERY = 120
QUEUE_POLL_SECONDS = 0.1
"""The pause between two claims while deliveries wait for a provider's rate limit."""
QUICK_BATCH_SECONDS = 0.05
"""A full batch that took no longer than this lets the next claim take twice as many."""
SLOW_BATCH_SECONDS = 0.12
"""After a batch that took longer than this, the next claim takes half as many."""
MAX_BATCH_SECONDS = 0.25
"""After this time, a batch that is larger than the first claim gives back the deliveries that are not begun."""


class ClaimSize:
    """The number of deliveries that the next claim takes: between ``start`` and ``maximum``."""

    def __init__(self, start: int, maximum: int) -> None:
        self.start, self.maximum = start, max(start, maximum)
        self.current = start

    def adjust(self, claimed: int, seconds: float) -> None:
        """Choose the next size after a claim of the current size.

        :param claimed: how many deliveries were claimed.
        :param seconds: how long it took to claim and process them.
        """
        if seconds > SLOW_BATCH_SECONDS:
            self.current = max(self.start, self.current // 2)
        elif claimed < self.current:
            self.current = max(self.start, claimed)
        elif seconds <= QUICK_BATCH_SECONDS:
            self.current = min(self.maximum, self.current * 2)

    def is_overdue(self, claimed: int, seconds: float) -> bool:
        """Return whether a batch of this size must give back its rest, because it takes too long."""
        return claimed > self.start and seconds > MAX_BATCH_SECONDS


@dataclass(frozen=True)
class ClaimRequest:
    """One request for deliveries.

    :param limit: how many to claim at most.
    :param notification_ids: the notifications whose deliveries to claim; those of all if it is empty.
    :param blocked: the channels to leave out.
    """

    limit: int
    notification_ids: Sequence[int]
    now: datetime
    lease: datetime
    blocked: frozenset[str] = frozenset()


class Claimer:
    """Claims deliveries for one worker thread."""

    def __init__(self, writer: OutcomeWriter, providers: Providers, batch_size: int, pending: PendingGroups) -> None:
        self.using = writer.using
        self.writer = writer
        self.providers = providers
        self.pending = pending
        # Without a heartbeat the leases are not renewed and must last for the whole batch, so it stays small.
        self._lease_seconds_per_delivery = 0 if writer.heartbeat else LEASE_SECONDS_PER_DELIVERY
        self.size = ClaimSize(batch_size, conf.current().max_batch_size if writer.heartbeat else batch_size)
        # A random start, so that runs with a single claim take the oldest as often as a worker does.
        self.count = random.randrange(OLDEST_EVERY)  # noqa: S311 - no secret
        self.is_flooded = False
        self._paused: frozenset[str] = frozenset()
        self._unavailable: set[str] = set()
        self._read_at: datetime | None = None
        self._released_at: datetime | None = None
        self._claimed_at = datetime.max.replace(tzinfo=UTC)
        self._flood_claimed_at = datetime.min.replace(tzinfo=UTC)
        self._resting: dict[str, datetime] = {}
        self._queued_until = datetime.min.replace(tzinfo=UTC)
        self._takeover: FallbackTakeover | None = None
        self._hurrier = TurnHurrier(self.using)

    def claim(self, limit: int, notification_ids: Sequence[int], now: datetime) -> list[Delivery]:
        """Claim ready deliveries: those with the highest score, or the oldest.

        Due deliveries are released first; while ready ones are found, only once per :data:`RELEASE_INTERVAL`.
        """
        blocked = self.refresh_blocked_channels(now)
        if blocked is None:
            return []
        self.count += 1
        lease = now + timedelta(seconds=conf.current().lease_seconds + self._lease_seconds_per_delivery * limit)
        request = ClaimRequest(limit, notification_ids, now, lease, blocked)
        if self.providers.breaker.circuits:
            half_open = self.providers.half_open_channels(now) - blocked
            if half_open and (probe := self._claim_probe(half_open, request)):
                return probe
            request = ClaimRequest(limit, notification_ids, now, lease, blocked | half_open)
        # While many deliveries are ready, due deliveries are released only once a second.
        has_just_released = self._released_at is not None and timedelta() <= now - self._released_at < RELEASE_INTERVAL
        if has_just_released and (claimed := self._claim_ready(request)):
            return claimed
        self._release_due(request)
        return self._claim_ready(request) or (self._claim_in_flood(request) if self.is_flooded else [])

    def refresh_blocked_channels(self, now: datetime) -> frozenset[str] | None:
        """Return the channels from which nothing may be claimed, or None if nothing at all may be claimed.

        Reads pauses and floods again once they are older than :data:`REFRESH_INTERVAL`.
        """
        self._claimed_at = now
        if is_off():
            return None
        if self._read_at is None or not timedelta() <= now - self._read_at < REFRESH_INTERVAL:
            self._refresh(now)
        if EVERYTHING in self._paused:
            return None
        self._unavailable = self.providers.unavailable_channels(now)
        blocked = self._paused | self._unavailable
        if self.pending.is_relief:
            blocked |= self.providers.list_channels_without(self.pending.list_excluded())
            if blocked.issuperset(conf.current().enabled_channels):
                return None
        for channel, until in self._resting.items():
            if now < until:
                blocked |= {channel}
        return blocked

    def rest_channel(self, channel: str, now: datetime, seconds: float, queue_seconds: float) -> None:
        """Let this thread claim nothing of a channel for ``seconds`` seconds.

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
        self._paused, self._read_at = Pause.objects.using(self.using).channel_names(), now
        was_flooded = self.is_flooded
        self.is_flooded = Delivery.objects.using(self.using).has_more_ready_than(conf.current().throttle_depth)
        if was_flooded != self.is_flooded:
            logger.warning(
                "Too many deliveries are ready: only CRITICAL and HIGH ones are sent, and occasionally the oldest."
                if self.is_flooded
                else "Fewer deliveries are ready now: all are sent again."
            )

    def _claim_ready(self, request: ClaimRequest) -> list[Delivery]:
        # Sometimes the oldest first, whatever its score, so that urgent deliveries cannot block the others forever.
        oldest_first = self.count % OLDEST_EVERY == 0
        limit, min_score = request.limit, 0
        if self.is_flooded and oldest_first:
            # In a flood, the others get no more than a small share.
            limit = min(limit, self.size.start)
        elif self.is_flooded:
            min_score = URGENT_SCORE
        return self._claim(request, limit, oldest_first, min_score)

    def _claim_in_flood(self, request: ClaimRequest) -> list[Delivery]:
        """Claim a batch of the oldest once a second during a flood, or they would never be sent.

        The worker does this only if nothing urgent is ready.
        """
        if request.now - self._flood_claimed_at < FLOOD_CLAIM_INTERVAL:
            return []
        self._flood_claimed_at = request.now
        return self._claim(request, min(request.limit, self.size.start), True, 0)

    def _claim(self, request: ClaimRequest, limit: int, oldest_first: bool, min_score: int) -> list[Delivery]:
        return Delivery.objects.using(self.using).claim(
            self.writer.owner,
            request.lease,
            limit,
            request.notification_ids,
            oldest_first,
            request.blocked,
            min_score,
        )

    def _claim_probe(self, channels: set[str], request: ClaimRequest) -> list[Delivery]:
        """Claim one delivery for a channel whose providers wait for a probe."""
        outbox = Delivery.objects.using(self.using)
        outbox.release_due(request.now)
        ids = request.notification_ids
        found = (outbox.claim_probe(self.writer.owner, request.lease, name, ids) for name in sorted(channels))
        return next((rows for rows in found if rows), [])

    def _release_due(self, request: ClaimRequest) -> None:
        self._released_at = request.now
        if unusable := self._unavailable | self._paused:
            self._hurrier.hurry(unusable, request.now)
        Delivery.objects.using(self.using).release_due(request.now)
        exhausted = self._unavailable - self._paused
        if exhausted:
            self._move_to_fallbacks(exhausted, request)

    def _move_to_fallbacks(self, exhausted: set[str], request: ClaimRequest) -> None:
        """Move deliveries from channels without an available provider to their fallback channels."""
        if self._takeover is None:
            self._takeover = FallbackTakeover(self.using)
        for row, _ in self._takeover.take_over(exhausted, self.writer.owner, request.now, request.lease):
            change = StateChange(row.pk, row.fence, row.state, DeliveryState.DROPPED, Reason.FALLBACK)
            send_outcome_signal(row, change, self.using)
            self.writer.count(Counter({DeliveryState.DROPPED: 1}))
