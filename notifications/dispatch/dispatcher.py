"""One worker's hands: take a batch, bring it to its end."""

import logging
import os
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from uuid import uuid4

from django.db import router

from notifications import clock, conf
from notifications.channel_classes import channel_class
from notifications.channels import BaseChannel, open_channel
from notifications.dispatch.attempt import Addressed, attempt
from notifications.dispatch.reask import still_wanted
from notifications.dispatch.rescue import rescue
from notifications.models import Delivery, Notification
from notifications.models.outbox import Settlement
from notifications.outcomes import DeliveryState, Reason

Tally = Counter[str]

logger = logging.getLogger("notifications.dispatch")

WAIT_FOR_CHANNEL = 60


class Dispatcher:
    """Belongs to one thread. Keeps its channels, and with them their connections, from batch to batch.

    :param stop: asked between groups; once it answers True, what is claimed but not begun is given back.
    """

    def __init__(self, batch_size: int | None = None, stop: Callable[[], bool] = lambda: False) -> None:
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{threading.get_ident()}:{uuid4().hex[:8]}"[-100:]
        self.batch_size = batch_size or conf.current().batch_size
        self.stop = stop
        self.using = router.db_for_write(Delivery)
        self.channels: dict[str, BaseChannel] = {}

    def now(self) -> datetime:
        return clock.now(self.using)

    def run_until_idle(self, notification_ids: Sequence[int] = (), limit: int | None = None) -> Tally:
        """Batch after batch until nothing is ready, ``stop`` says so, or ``limit`` deliveries were taken."""
        tally: Tally = Counter()
        taken = 0
        while not self.stop() and (limit is None or taken < limit):
            size = self.batch_size if limit is None else min(self.batch_size, limit - taken)
            claimed, news = self.run_batch(size, notification_ids)
            if not claimed:
                break
            taken += claimed
            tally += news
        return tally

    def run_batch(self, size: int, notification_ids: Sequence[int] = ()) -> tuple[int, Tally]:
        """Release what is due, claim a batch, bring it to its end; returns how many were claimed and their states."""
        now = self.now()
        rescue(self.using, now)
        outbox = Delivery.objects.using(self.using)
        outbox.release_due(now)
        lease = now + timedelta(seconds=conf.current().lease_seconds)
        claimed = outbox.claim(self.owner, now, lease, size, notification_ids)
        if not claimed:
            return 0, Counter()
        self._attach_notifications(claimed)
        wanted, tally = still_wanted(claimed, self.using, now)
        groups = list(self._groups(wanted))
        for index, (name, group) in enumerate(groups):
            if self.stop():
                self._settle([item for _, rest in groups[index:] for item in rest], DeliveryState.READY, "")
                break
            tally += self._attempt(name, group)
        return len(claimed), tally

    def _attempt(self, name: str, group: Sequence[Addressed]) -> Tally:
        try:
            channel = self._channel(name)
        except Exception:
            # Its settings are wrong, which is nobody's fault among the recipients: they wait, and lose no attempt.
            logger.exception("The channel %r cannot be made; its deliveries wait.", name)
            due_at = self.now() + timedelta(seconds=WAIT_FOR_CHANNEL)
            return self._settle(group, DeliveryState.RETRY, Reason.CONFIGURATION, due_at)
        return attempt(channel, group, self.using, self.now)

    def close(self) -> None:
        """Let go of every connection to a provider."""
        for channel in self.channels.values():
            channel.close()

    def _attach_notifications(self, claimed: Sequence[Delivery]) -> None:
        ids = {row.notification_id for row in claimed}
        known = Notification.objects.using(self.using).select_related("cluster").in_bulk(ids)
        for row in claimed:
            row.notification = known[row.notification_id]

    def _groups(self, wanted: Sequence[Addressed]) -> Iterator[tuple[str, list[Addressed]]]:
        """One channel's deliveries together, at most as many as it takes; one that has stopped a worker goes alone."""
        for (name, _), members in groupby(wanted, key=lambda item: (item.delivery.channel, item.delivery.strikes)):
            deliveries = list(members)
            size = 1 if deliveries[0].delivery.strikes else channel_class(name).group_size
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
        written = Delivery.objects.using(self.using).settle(news, self.now())
        return Counter({state: len(written)})
