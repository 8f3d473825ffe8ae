"""Claims batches of deliveries for one worker thread and brings each delivery to an outcome."""

import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import DataError, Error, IntegrityError

from notifications import conf
from notifications.core.databases import read_from_primary
from notifications.delivering.attempt import AddressedDelivery, attempt
from notifications.delivering.attempt_outcomes import Outcomes, dead_letter
from notifications.delivering.claim_policy import ClaimPolicy
from notifications.delivering.claim_size import ClaimSize
from notifications.delivering.digest_items import recheck_digest_items
from notifications.delivering.fallback import FallbackTakeover
from notifications.delivering.outcome_writer import OutcomeWriter, send_outcome_signal
from notifications.delivering.providers.choice import Provider, Providers
from notifications.delivering.rate_limiter import RateLimiter
from notifications.delivering.recheck import recheck_claimed, recheck_quiet_hours
from notifications.delivering.tally import Tally
from notifications.delivering.workers.heartbeat import HeartbeatThread
from notifications.delivering.workers.outage_log import OUTAGE_LOG
from notifications.delivering.workers.stop import Stop, never
from notifications.events import NotificationPriority
from notifications.models import Delivery
from notifications.outcomes import DeliveryState, Reason
from notifications.storage.outbox import StateChange

logger = logging.getLogger("notifications.dispatch")

OLDEST_EVERY = 10
"""Every tenth claim takes the oldest deliveries first."""
URGENT_SCORE = NotificationPriority.HIGH.band[0]
RELEASE_INTERVAL = timedelta(seconds=1)
FLOOD_CLAIM_INTERVAL = timedelta(seconds=1)
LEASE_SECONDS_PER_DELIVERY = 120


class Dispatcher:
    """Delivers for one thread. It keeps its channels and their connections from batch to batch.

    :param batch_size: how many deliveries the first claim takes, by default ``BATCH_SIZE``. With a heartbeat, later
        claims take up to ``MAX_BATCH_SIZE``; see :class:`~notifications.delivering.claim_size.ClaimSize`.
    :param stop: called between groups, and between the messages of a group if the channel is ``one_by_one``. When it
        returns True, the deliveries that are claimed but not begun are given back.
    :param heartbeat: the heartbeat of the process. Without one, only the leases show that the thread is alive.
    """

    def __init__(
        self, batch_size: int | None = None, stop: Callable[[], bool] = never, heartbeat: HeartbeatThread | None = None
    ) -> None:
        configured = conf.current()
        self.batch_size = batch_size or configured.batch_size
        # Without a heartbeat the leases must last for the whole batch, so it stays small.
        self.claim_size = ClaimSize(self.batch_size, configured.max_batch_size if heartbeat else self.batch_size)
        self.stop = stop if isinstance(stop, Stop) else Stop(stop)
        self.writer = OutcomeWriter(heartbeat)
        self.using = self.writer.using
        self._hold_leases = heartbeat.renewing if heartbeat else lambda ids: nullcontext()
        self.providers = Providers(self.using)
        self.claim_policy = ClaimPolicy(self.using, self.providers)
        self.rate_limiter = RateLimiter(self.writer, self.providers, self.claim_policy)
        self.fallback = FallbackTakeover(self.using)
        # A random start, so that runs with a single claim take the oldest as often as a worker does.
        self._claims = random.randrange(OLDEST_EVERY)  # noqa: S311 - no secret
        self._released_at: datetime | None = None
        self._flood_claimed_at = datetime.min.replace(tzinfo=UTC)
        # Without a heartbeat the leases are not renewed, so they must last for the whole batch.
        self._lease_seconds_per_delivery = 0 if heartbeat else LEASE_SECONDS_PER_DELIVERY

    def run_until_idle(self, notification_ids: Sequence[int] = (), limit: int | None = None) -> Tally:
        """Run batches until nothing is ready, ``stop`` returns True, or ``limit`` deliveries have been claimed."""
        tally: Tally = Counter()
        total = 0
        while not self.stop() and (limit is None or total < limit):
            size = None if limit is None else min(self.claim_size.current, limit - total)
            claimed, outcomes = self.run_batch(size, notification_ids)
            tally += outcomes
            total += claimed
            if not claimed:
                break
        return tally

    @read_from_primary()
    def run_batch(self, size: int | None = None, notification_ids: Sequence[int] = ()) -> tuple[int, Tally]:
        """Release due deliveries, then claim and process a batch. Return the number of claims, and the outcomes.

        :param size: how many to claim at most. By default the number follows the backlog.
        """
        began = time.monotonic()
        claimed = self._claim_and_process(size or self.claim_size.current, notification_ids)
        if size is None:
            self.claim_size.adjust(claimed, time.monotonic() - began)
        return claimed, self.writer.counter.take()

    def _claim_and_process(self, size: int, notification_ids: Sequence[int]) -> int:
        self.writer.catch_up()
        now = self.writer.now()
        claimed = self._claim(size, notification_ids, now) if self.writer.begin_batch() else []
        if claimed:
            claimed = self._isolate_suspect(claimed)
            with self._hold_leases([row.pk for row in claimed]):
                self._process_batch(claimed, now)
        return len(claimed)

    def _process_batch(self, claimed: list[Delivery], now: datetime) -> None:
        all_begun = failed = False
        began = time.monotonic()
        try:
            claimed = Delivery.objects.using(self.using).with_notifications(claimed)
            sendable = self._count_others(recheck_claimed(claimed, self.writer, now))
            sendable = self._count_others(recheck_digest_items(sendable, self.using, now))
            groups = list(self._build_groups(sendable, now))
            while groups and not self.stop() and self.writer.can_continue():
                provider, group = groups[0]
                if self.providers.has_opened(provider):
                    # An earlier group of this batch has opened the circuit: use another provider, or wait.
                    self.writer.give_back([item.delivery for item in group])
                    del groups[0]
                    continue
                group = self._count_others(recheck_quiet_hours(group, self.writer))
                self._attempt_group(provider, self._count_others(self.rate_limiter.admit(provider, group)))
                del groups[0]
                self.providers.end_probe(provider, self.writer.now())
                if self._is_overdue(claimed, began):
                    break
            all_begun = not groups
        except Error:
            failed = True
            raise
        finally:
            # After a stop, an error or too long a time, give back the deliveries that were not begun, without a strike.
            # Deliveries that were begun are no longer claimed and keep their state.
            if not all_begun:
                self.writer.give_back(claimed, later=failed)

    def _is_overdue(self, claimed: Sequence[Delivery], began: float) -> bool:
        return self.claim_size.is_overdue(len(claimed), time.monotonic() - began)

    def _count_others(self, result: tuple[list[AddressedDelivery], Tally]) -> list[AddressedDelivery]:
        """Return the deliveries that may still be sent, and count the others."""
        sendable, tally = result
        self.writer.counter.add(tally)
        return sendable

    def _isolate_suspect(self, claimed: list[Delivery]) -> list[Delivery]:
        """Keep a delivery that may have killed its worker alone, and give back the others.

        If the first delivery is not suspect, give back all suspects instead.
        """
        alone = [row for row in claimed if row.is_suspect][:1] if claimed[0].is_suspect else []
        kept = alone or [row for row in claimed if not row.is_suspect]
        if len(kept) < len(claimed):
            self.writer.give_back([row for row in claimed if row not in kept])
        return kept

    def _claim(self, size: int, notification_ids: Sequence[int], now: datetime) -> list[Delivery]:
        closed = self.claim_policy.get_blocked_channels(now)
        if closed is None:
            return []
        self._claims += 1
        lease = now + timedelta(seconds=conf.current().lease_seconds + self._lease_seconds_per_delivery * size)
        half_open = self.claim_policy.get_half_open_channels(now) - closed
        if half_open and (probe := self._claim_probe(half_open, notification_ids, now, lease)):
            return probe
        closed |= half_open
        # While many deliveries are ready, due deliveries are released only once a second.
        has_just_released = self._released_at is not None and timedelta() <= now - self._released_at < RELEASE_INTERVAL
        if has_just_released and (claimed := self._claim_ready(size, notification_ids, now, lease, closed)):
            return claimed
        self._release_due(now, lease)
        return self._claim_ready(size, notification_ids, now, lease, closed) or self._claim_in_flood(
            size, notification_ids, now, lease, closed
        )

    def _claim_probe(
        self, channels: Collection[str], notification_ids: Sequence[int], now: datetime, lease: datetime
    ) -> list[Delivery]:
        """Claim one delivery for a channel whose providers wait for a probe."""
        outbox = Delivery.objects.using(self.using)
        outbox.release_due(now)
        found = (outbox.claim_probe(self.writer.owner, lease, name, notification_ids) for name in sorted(channels))
        return next((rows for rows in found if rows), [])

    def _claim_in_flood(
        self, size: int, notification_ids: Sequence[int], now: datetime, lease: datetime, closed: Collection[str]
    ) -> list[Delivery]:
        """Claim a batch of the oldest once a second during a flood, or they would never be sent.

        The worker does this only if nothing urgent is ready.
        """
        if not self.claim_policy.is_flooded or now - self._flood_claimed_at < FLOOD_CLAIM_INTERVAL:
            return []
        self._flood_claimed_at = now
        size = min(size, self.claim_size.start)
        return Delivery.objects.using(self.using).claim(
            self.writer.owner, lease, size, notification_ids, oldest_first=True, excluded_channels=closed
        )

    def get_rest_seconds(self) -> float | None:
        """Return the seconds until a delivery that waits for a provider may be claimed; None if none waits."""
        return self.claim_policy.get_rest_seconds(self.writer.now())

    def _release_due(self, now: datetime, lease: datetime) -> None:
        self._released_at = now
        Delivery.objects.using(self.using).release_due(now)
        exhausted = self.claim_policy.get_exhausted_channels(now)
        for row, _ in self.fallback.take_over(exhausted, self.writer.owner, now, lease):
            change = StateChange(row.pk, row.fence, row.state, DeliveryState.DROPPED, Reason.FALLBACK)
            send_outcome_signal(row, change, self.using)
            self.writer.counter.add(Counter({DeliveryState.DROPPED: 1}))

    def _claim_ready(
        self, size: int, notification_ids: Sequence[int], now: datetime, lease: datetime, closed: Collection[str]
    ) -> list[Delivery]:
        # Sometimes the oldest first, whatever its score, so that urgent deliveries cannot block the others forever.
        oldest_first = self._claims % OLDEST_EVERY == 0
        outbox = Delivery.objects.using(self.using)
        min_score = URGENT_SCORE if self.claim_policy.is_flooded and not oldest_first else 0
        if self.claim_policy.is_flooded and oldest_first:
            # In a flood, the others get no more than a small share.
            size = min(size, self.claim_size.start)
        return outbox.claim(self.writer.owner, lease, size, notification_ids, oldest_first, closed, min_score)

    def _attempt_group(self, provider: Provider, group: Sequence[AddressedDelivery]) -> None:
        if not group:
            return
        try:
            self.providers.channel_for(provider)
        except Exception as error:
            # The constructor may raise anything. The deliveries wait; no attempt is counted.
            logger.exception("The channel %r cannot be created; its deliveries wait.", provider.key)
            self.providers.record_invalid_settings(provider, error, self.writer.now())
            self.writer.give_back([item.delivery for item in group])
            return
        if group[0].delivery.is_suspect and not self.writer.begin_trial(group[0].delivery):
            return
        try:
            attempt(provider, group, self.writer, self.providers, self.stop)
        except (DataError, IntegrityError, ValueError) as error:
            # Only with a transactional channel: the database has refused a row and rolled back the group.
            if len(group) > 1:
                for item in group:
                    self._attempt_group(provider, [item])
                return
            logger.exception("Delivery %s cannot be stored.", group[0].delivery.pk)
            outcome = dead_letter(group[0].delivery, Reason.RENDERING, f"{type(error).__name__}: {error}")
            self.writer.counter.add(self.writer.write(Outcomes([outcome], self.writer.now())))

    def release_connections(self) -> None:
        """Close the connections to providers, and write the outcomes and the health of providers that are kept."""
        self.providers.close()
        if self.stop():
            return  # close() needs the time that is left.
        try:
            self.writer.catch_up()
            self.providers.write_health()
        except Error as error:
            OUTAGE_LOG.report_failure(logger, error, "The last outcomes cannot be written yet; they are kept.")

    def close(self, seconds: float = 0.0) -> int:
        """Close the connections permanently, and save outcomes that cannot be written to a file.

        :param seconds: how long to retry while the database cannot be used.
        :return: the number of outcomes in the file.
        """
        self.providers.close()
        if left := self.writer.close(seconds, self.stop.is_immediate):
            return left
        try:
            self.providers.write_health()
        except Error as error:
            OUTAGE_LOG.report_failure(logger, error, "The health of the providers cannot be written and is lost.")
        return 0

    def _build_groups(
        self, sendable: Sequence[AddressedDelivery], now: datetime
    ) -> Iterator[tuple[Provider, list[AddressedDelivery]]]:
        """Yield groups for one provider each, no larger than its group size. A suspect is alone in its group."""
        by_key: dict[tuple[Any, ...], tuple[Provider, list[AddressedDelivery]]] = {}
        waiting = []
        for item in sendable:
            provider = self.providers.choose(item.delivery, now)
            if provider is None:
                waiting.append(item.delivery)
            else:
                key = provider.key, provider.as_probe, item.delivery.is_suspect
                by_key.setdefault(key, (provider, []))[1].append(item)
        self.writer.give_back(waiting)
        for (_, _, is_suspect), (provider, items) in by_key.items():
            size = 1 if is_suspect else provider.group_size
            for start in range(0, len(items), size):
                yield provider, items[start : start + size]
