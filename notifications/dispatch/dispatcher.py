"""One worker's hands: take a batch, bring it to its end."""

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from datetime import datetime, timedelta

from django.db import DataError, Error, IntegrityError

from notifications import conf
from notifications.channel_classes import channel_class
from notifications.channels import BaseChannel, open_channel
from notifications.dispatch.attempt import Addressed, attempt
from notifications.dispatch.desk import Desk, Outcomes
from notifications.dispatch.heartbeat import Pulse
from notifications.dispatch.reask import still_wanted
from notifications.dispatch.record import buried
from notifications.models import Delivery, Notification, Pause
from notifications.models.outbox import Settlement
from notifications.models.pause import EVERYTHING
from notifications.outcomes import DeliveryState, Reason

Tally = Counter[str]

logger = logging.getLogger("notifications.dispatch")

WAIT_FOR_CHANNEL = 60
OLDEST_EVERY = 10
SECONDS_FOR_ONE = 120


class Dispatcher:
    """Belongs to one thread. Keeps its channels, and with them their connections, from batch to batch.

    :param stop: asked between groups; once it answers True, what is claimed but not begun is given back.
    :param pulse: the heartbeat of its process; without one, only the leases say that it lives.
    """

    def __init__(
        self, batch_size: int | None = None, stop: Callable[[], bool] = lambda: False, pulse: Pulse | None = None
    ) -> None:
        self.owner = pulse.owner if pulse else Pulse().owner
        self.batch_size = batch_size or conf.current().batch_size
        self.stop = stop
        self.desk = Desk(pulse)
        self.using = self.desk.using
        self._held_by_pulse = pulse.holding if pulse else lambda ids: nullcontext()
        self.channels: dict[str, BaseChannel] = {}
        self._claims = 0
        # Without a heartbeat nobody renews a lease, so it must last for the whole batch.
        self._unrenewed = 0 if pulse else SECONDS_FOR_ONE

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

    def run_batch(self, size: int, notification_ids: Sequence[int] = ()) -> tuple[int, Tally]:
        """Release what is due, claim a batch, bring it to its end; returns how many were claimed and their states."""
        tally = self.desk.catch_up()
        now = self.desk.now()
        claimed = self._claim(size, notification_ids, now) if self.desk.begin() else []
        if not claimed:
            return 0, tally
        claimed = self._apart(claimed)
        with self._held_by_pulse([row.pk for row in claimed]):
            return len(claimed), tally + self._bring_to_an_end(claimed, now)

    def _bring_to_an_end(self, claimed: list[Delivery], now: datetime) -> Tally:
        claimed = self._attach_notifications(claimed)
        all_begun = False
        try:
            wanted, tally = still_wanted(claimed, self.desk, now)
            groups = list(self._groups(wanted))
            while groups and not self.stop() and self.desk.may_go_on():
                tally += self._attempt(*groups[0])
                del groups[0]
            all_begun = not groups
        finally:
            # Stopped, or an error: what was not begun goes back at once, without a strike. (What was begun is no
            # longer claimed, and keeps its state.)
            if not all_begun:
                self._give_back(claimed)
        return tally

    def _apart(self, claimed: list[Delivery]) -> list[Delivery]:
        """A delivery that has stopped a worker shares its fate with no other, so it is taken alone."""
        alone = [row for row in claimed if row.strikes][:1] if claimed[0].strikes else []
        kept = alone or [row for row in claimed if not row.strikes]
        if len(kept) < len(claimed):
            self._give_back([row for row in claimed if row not in kept])
        return kept

    def _give_back(self, rows: Sequence[Delivery]) -> None:
        news = [Settlement(row.pk, row.fence, DeliveryState.CLAIMED, DeliveryState.READY) for row in rows]
        try:
            Delivery.objects.using(self.using).settle(news, self.desk.now())
        except Error:
            logger.exception("What was not begun could not be given back; its leases will run out.")

    def _claim(self, size: int, notification_ids: Sequence[int], now: datetime) -> list[Delivery]:
        paused = Pause.objects.using(self.using).names()
        if EVERYTHING in paused:
            return []
        outbox = Delivery.objects.using(self.using)
        outbox.release_due(now)
        lease = now + timedelta(seconds=conf.current().lease_seconds + self._unrenewed * size)
        self._claims += 1
        # Now and then the oldest first, whatever its score, so that nothing starves under a flood of urgent mail.
        oldest = self._claims % OLDEST_EVERY == 0
        return outbox.claim(self.owner, now, lease, size, notification_ids, oldest, paused)

    def _attempt(self, name: str, group: Sequence[Addressed]) -> Tally:
        try:
            channel = self._channel(name)
        except Exception:
            # Its settings are wrong, which is nobody's fault among the recipients: they wait, and lose no attempt.
            logger.exception("The channel %r cannot be made; its deliveries wait.", name)
            due_at = self.desk.now() + timedelta(seconds=WAIT_FOR_CHANNEL)
            return self._settle(group, DeliveryState.RETRY, Reason.CONFIGURATION, due_at)
        try:
            return attempt(channel, group, self.desk)
        except (DataError, IntegrityError, ValueError) as error:
            # Only a transactional channel comes here: the database refused something, and took the group back.
            if len(group) > 1:
                return sum((self._attempt(name, [item]) for item in group), Counter())
            logger.exception("Delivery %s cannot be stored.", group[0].delivery.pk)
            refused = buried(group[0].delivery, Reason.RENDERING, f"{type(error).__name__}: {error}")
            return self.desk.write(Outcomes([refused], self.desk.now()))

    def close(self) -> None:
        """Let go of every connection to a provider."""
        for channel in self.channels.values():
            channel.close()

    def _attach_notifications(self, claimed: Sequence[Delivery]) -> list[Delivery]:
        ids = {row.notification_id for row in claimed}
        known = Notification.objects.using(self.using).select_related("cluster").in_bulk(ids)
        # One that is missing was deleted with its cluster a moment ago, and its deliveries with it.
        there = [row for row in claimed if row.notification_id in known]
        for row in there:
            row.notification = known[row.notification_id]
        return there

    def _groups(self, wanted: Sequence[Addressed]) -> Iterator[tuple[str, list[Addressed]]]:
        """One channel's deliveries together, at most as many as it takes; one that has stopped a worker goes alone."""
        by_channel: dict[tuple[str, bool], list[Addressed]] = defaultdict(list)
        for item in wanted:
            by_channel[item.delivery.channel, item.delivery.strikes > 0].append(item)
        for (name, struck), deliveries in by_channel.items():
            size = 1 if struck else channel_class(name).group_size
            for start in range(0, len(deliveries), size):
                yield name, deliveries[start : start + size]

    def _channel(self, name: str) -> BaseChannel:
        if name not in self.channels:
            self.channels[name] = open_channel(name)
        return self.channels[name]

    def _settle(self, items: Sequence[Addressed], state: str, reason: str, due_at: datetime | None = None) -> Tally:
        """Let go of claimed deliveries that were never handed over."""
        rows = [item.delivery for item in items]
        news = [Settlement(row.pk, row.fence, DeliveryState.CLAIMED, state, reason, due_at) for row in rows]
        written = Delivery.objects.using(self.using).settle(news, self.desk.now())
        return Counter({state: len(written)})
