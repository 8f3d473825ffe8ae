"""One worker's hands: take a batch, bring it to its end."""

import logging
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import DataError, Error, IntegrityError

from notifications import conf
from notifications.core.primary import read_from_primary
from notifications.delivering.attempt import AddressedDelivery, attempt
from notifications.delivering.claim_policy import ClaimPolicy
from notifications.delivering.digest_items import recheck_digest_items
from notifications.delivering.fallback import FallbackTakeover
from notifications.delivering.outcome_writer import OutcomeWriter, send_outcome_signal
from notifications.delivering.providers.choice import Provider, Providers
from notifications.delivering.rate_limiter import RateLimiter
from notifications.delivering.recheck import recheck_claimed, recheck_quiet_hours
from notifications.delivering.record import Outcomes, dead_letter
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
URGENT = NotificationPriority.HIGH.band[0]
RELEASE_EVERY = timedelta(seconds=1)
TRICKLE_EVERY = timedelta(seconds=1)
SECONDS_FOR_ONE = 120


class Dispatcher:
    """Belongs to one thread. Keeps its channels, and with them their connections, from batch to batch.

    :param stop: asked between groups, and between the messages of a group where the channel hands them over one by
        one; once it answers True, what is claimed but not begun is given back.
    :param heartbeat: the heartbeat of its process; without one, only the leases say that it lives.
    """

    def __init__(
        self, batch_size: int | None = None, stop: Callable[[], bool] = never, heartbeat: HeartbeatThread | None = None
    ) -> None:
        self.batch_size = batch_size or conf.current().batch_size
        self.stop = stop if isinstance(stop, Stop) else Stop(stop)
        self.writer = OutcomeWriter(heartbeat)
        self.using = self.writer.using
        self._hold_leases = heartbeat.holding if heartbeat else lambda ids: nullcontext()
        self.providers = Providers(self.using)
        self.claim_policy = ClaimPolicy(self.using, self.providers)
        self.rate_limiter = RateLimiter(self.writer, self.providers, self.claim_policy)
        self.fallback = FallbackTakeover(self.using)
        # At random, so that one-shot runs of a single claim take the oldest as often as a worker does.
        self._claims = random.randrange(OLDEST_EVERY)  # noqa: S311 - no secret
        self._released_at: datetime | None = None
        self._trickled_at = datetime.min.replace(tzinfo=UTC)
        # Without a heartbeat nobody renews a lease, so it must last for the whole batch.
        self._unrenewed = 0 if heartbeat else SECONDS_FOR_ONE

    def run_until_idle(self, notification_ids: Sequence[int] = (), limit: int | None = None) -> Tally:
        """Batch after batch until nothing is ready, ``stop`` says so, or ``limit`` deliveries were taken."""
        tally: Tally = Counter()
        taken = 0
        while not self.stop() and (limit is None or taken < limit):
            size = self.batch_size if limit is None else min(self.batch_size, limit - taken)
            claimed, news = self.run_batch(size, notification_ids)
            tally += news
            taken += claimed
            if not claimed:
                break
        return tally

    @read_from_primary()
    def run_batch(self, size: int, notification_ids: Sequence[int] = ()) -> tuple[int, Tally]:
        """Release what is due, claim a batch, bring it to its end; returns how many were claimed and their states."""
        self.writer.catch_up()
        now = self.writer.now()
        claimed = self._claim(size, notification_ids, now) if self.writer.begin_batch() else []
        if claimed:
            claimed = self._isolate_suspect(claimed)
            with self._hold_leases([row.pk for row in claimed]):
                self._process_batch(claimed, now)
        return len(claimed), self.writer.counter.take()

    def _process_batch(self, claimed: list[Delivery], now: datetime) -> None:
        all_begun = failed = False
        try:
            claimed = Delivery.objects.using(self.using).with_notifications(claimed)
            wanted = self._counted(recheck_claimed(claimed, self.writer, now))
            wanted = self._counted(recheck_digest_items(wanted, self.using, now))
            groups = list(self._groups(wanted, now))
            while groups and not self.stop() and self.writer.can_continue():
                provider, group = groups[0]
                if self.providers.has_opened(provider):
                    # An earlier group of this very batch has opened its circuit: another provider, or later.
                    self.writer.give_back([item.delivery for item in group])
                    del groups[0]
                    continue
                group = self._counted(recheck_quiet_hours(group, self.writer))
                self._attempt(provider, self._counted(self.rate_limiter.admit(provider, group)))
                del groups[0]
                self.providers.end_probe(provider, self.writer.now())
            all_begun = not groups
        except Error:
            failed = True
            raise
        finally:
            # Stopped, or an error: what was not begun goes back, without a strike. (What was begun is no longer
            # claimed, and keeps its state.)
            if not all_begun:
                self.writer.give_back(claimed, later=failed)

    def _counted(self, found: tuple[list[AddressedDelivery], Tally]) -> list[AddressedDelivery]:
        """Those that go on; the others are counted."""
        going_on, ended = found
        self.writer.counter.add(ended)
        return going_on

    def _isolate_suspect(self, claimed: list[Delivery]) -> list[Delivery]:
        """A delivery that a lost worker has held may have killed it, so it is taken alone."""
        alone = [row for row in claimed if row.is_suspect][:1] if claimed[0].is_suspect else []
        kept = alone or [row for row in claimed if not row.is_suspect]
        if len(kept) < len(claimed):
            self.writer.give_back([row for row in claimed if row not in kept])
        return kept

    def _claim(self, size: int, notification_ids: Sequence[int], now: datetime) -> list[Delivery]:
        closed = self.claim_policy.closed(now)
        if closed is None:
            return []
        self._claims += 1
        lease = now + timedelta(seconds=conf.current().lease_seconds + self._unrenewed * size)
        half_open = self.claim_policy.half_open(now) - closed
        if half_open and (probe := self._take_probe(half_open, notification_ids, now, lease)):
            return probe
        closed |= half_open
        # While there is plenty to do, it is enough to look once a second for what has become due.
        rested = self._released_at is not None and timedelta() <= now - self._released_at < RELEASE_EVERY
        if rested and (claimed := self._take(size, notification_ids, now, lease, closed)):
            return claimed
        self._release(now, lease)
        return self._take(size, notification_ids, now, lease, closed) or self._trickle(
            size, notification_ids, now, lease, closed
        )

    def _take_probe(
        self, channels: Collection[str], notification_ids: Sequence[int], now: datetime, lease: datetime
    ) -> list[Delivery]:
        """One delivery for a channel whose providers wait for a probe."""
        outbox = Delivery.objects.using(self.using)
        outbox.release_due(now)
        found = (outbox.claim_probe(self.writer.owner, lease, name, notification_ids) for name in sorted(channels))
        return next((rows for rows in found if rows), [])

    def _trickle(
        self, size: int, notification_ids: Sequence[int], now: datetime, lease: datetime, closed: Collection[str]
    ) -> list[Delivery]:
        """In a flood without anything urgent a batch of the others goes now and then, or they would wait for ever."""
        if not self.claim_policy.is_flooded or now - self._trickled_at < TRICKLE_EVERY:
            return []
        self._trickled_at = now
        return Delivery.objects.using(self.using).claim(
            self.writer.owner, now, lease, size, notification_ids, oldest_first=True, without=closed
        )

    def get_rest_seconds(self) -> float | None:
        """Seconds until something may go out that cannot go now; None if there is nothing of the kind."""
        return self.claim_policy.get_rest_seconds(self.writer.now())

    def _release(self, now: datetime, lease: datetime) -> None:
        self._released_at = now
        Delivery.objects.using(self.using).release_due(now)
        for row, _ in self.fallback.take_over(self.claim_policy.exhausted(now), self.writer.owner, now, lease):
            send_outcome_signal(
                row, StateChange(row.pk, row.fence, row.state, DeliveryState.DROPPED, Reason.FALLBACK), self.using
            )
            self.writer.counter.add(Counter({DeliveryState.DROPPED: 1}))

    def _take(
        self, size: int, notification_ids: Sequence[int], now: datetime, lease: datetime, closed: Collection[str]
    ) -> list[Delivery]:
        # Now and then the oldest first, whatever its score, so that nothing starves under a flood of urgent mail.
        oldest = self._claims % OLDEST_EVERY == 0
        outbox = Delivery.objects.using(self.using)
        floor = URGENT if self.claim_policy.is_flooded and not oldest else 0
        return outbox.claim(self.writer.owner, now, lease, size, notification_ids, oldest, closed, floor)

    def _attempt(self, provider: Provider, group: Sequence[AddressedDelivery]) -> None:
        if not group:
            return
        try:
            self.providers.channel_for(provider)
        except Exception as error:
            # Whatever its constructor raises: its deliveries wait, and lose no attempt.
            logger.exception("The channel %r cannot be made; its deliveries wait.", provider.key)
            self.providers.record_invalid_settings(provider, error, self.writer.now())
            self.writer.give_back([item.delivery for item in group])
            return
        if group[0].delivery.is_suspect and not self.writer.begin_trial(group[0].delivery):
            return
        try:
            attempt(provider, group, self.writer, self.providers, self.stop)
        except (DataError, IntegrityError, ValueError) as error:
            # Only a transactional channel comes here: the database refused something, and took the group back.
            if len(group) > 1:
                for item in group:
                    self._attempt(provider, [item])
                return
            logger.exception("Delivery %s cannot be stored.", group[0].delivery.pk)
            refused = dead_letter(group[0].delivery, Reason.RENDERING, f"{type(error).__name__}: {error}")
            self.writer.counter.add(self.writer.write(Outcomes([refused], self.writer.now())))

    def rest(self) -> None:
        """Let go of every connection to a provider, and of nothing that a provider has answered."""
        self.providers.close()
        if self.stop():
            return  # close() has the time that is left
        try:
            self.writer.catch_up()
            self.providers.write_health()
        except Error as error:
            OUTAGE_LOG.report_failure(logger, error, "The last outcomes cannot be written yet; they are kept.")

    def close(self, seconds: float = 0.0) -> int:
        """Rest for good. Outcomes that cannot be written go to a file; returns how many.

        :param seconds: how long to keep trying to write them while the database cannot be used.
        """
        self.providers.close()
        if left := self.writer.close(seconds, self.stop.at_once):
            return left
        try:
            self.providers.write_health()
        except Error as error:
            OUTAGE_LOG.report_failure(logger, error, "What was learnt about the providers is lost.")
        return 0

    def _groups(
        self, wanted: Sequence[AddressedDelivery], now: datetime
    ) -> Iterator[tuple[Provider, list[AddressedDelivery]]]:
        """One provider's deliveries together, at most as many as it takes; a suspect goes alone."""
        found: dict[tuple[Any, ...], tuple[Provider, list[AddressedDelivery]]] = {}
        waiting = []
        for item in wanted:
            provider = self.providers.choose(item.delivery, now)
            if provider is None:
                waiting.append(item.delivery)
            else:
                key = provider.key, provider.as_probe, item.delivery.is_suspect
                found.setdefault(key, (provider, []))[1].append(item)
        self.writer.give_back(waiting)
        for (_, _, is_suspect), (provider, items) in found.items():
            size = 1 if is_suspect else provider.group_size
            for start in range(0, len(items), size):
                yield provider, items[start : start + size]
