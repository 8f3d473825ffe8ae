"""Making the digests and batches that are due."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from django.db import router, transaction

from notifications import clock, partitions
from notifications.digests.gathering import Gathering, gathered
from notifications.digests.sections import sections_for
from notifications.dispatch.reask import refuse
from notifications.events import BuiltInEvents
from notifications.manager.enqueue import tell_queued
from notifications.models import Delivery, Notification
from notifications.models.outbox import Settlement, alone_with
from notifications.outcomes import DeliveryState

logger = logging.getLogger("notifications.digests")

AT_ONCE = 100
"""Recipients in one transaction."""
EVENT_OF = {
    Notification.Gathers.DAILY: BuiltInEvents.DAILY_DIGEST.value,
    Notification.Gathers.WEEKLY: BuiltInEvents.WEEKLY_DIGEST.value,
}


@dataclass(frozen=True)
class Made:
    """What one run came to.

    :param made: digests and batches that were queued. :param merged: what went into them.
    :param alone: what goes out by itself, because it was the only one of its batch.
    :param refused: what is not wanted any more, or has expired.
    """

    made: int = 0
    merged: int = 0
    alone: int = 0
    refused: int = 0

    def __add__(self, other: "Made") -> "Made":
        return Made(*(sum(pair) for pair in zip(self._figures, other._figures, strict=True)))

    @property
    def _figures(self) -> tuple[int, ...]:
        return self.made, self.merged, self.alone, self.refused


def make_due(now: datetime | None = None) -> Made:
    """Make every digest and batch whose time has come. Several processes may call it at once: one of them works."""
    using = router.db_for_write(Delivery)
    now = now or clock.now(using)
    made = Made()
    for keys in _recipients(using, now):
        with transaction.atomic(using=using):
            if not alone_with("klaxon.digests", using):
                break
            made += _make(keys, using, now)
    return made


def _recipients(using: str, now: datetime) -> Iterator[list[str]]:
    """Those for whom something is due, each once. Who is still there after their turn is locked by somebody else."""
    seen: set[str] = set()
    locked = 0
    while True:
        page = Delivery.objects.using(using).digests_due(now)[: AT_ONCE + locked]
        keys = [key for key in page if key not in seen]
        if not keys:
            return
        locked = len(page) - len(keys)
        seen.update(keys)
        yield keys


def _make(keys: Sequence[str], using: str, now: datetime) -> Made:
    waiting = Delivery.objects.using(using).waiting_for_others(keys)
    found = list(gathered(waiting, using, now))
    refused = refuse([pair for gathering in found for pair in gathering.refused], using, now).total()
    worth = [gathering for gathering in found if gathering.is_worth_it]
    merged = _put_together(worth, using, now)
    alone = [row for gathering in found for row in gathering.alone]
    _let_go_alone(alone, using, now)
    return Made(len(worth), merged, len(alone), refused)


def _let_go_alone(rows: Sequence[Delivery], using: str, now: datetime) -> None:
    held, ready = DeliveryState.HELD, DeliveryState.READY
    Delivery.objects.using(using).settle([Settlement(row.pk, row.fence, held, ready, row.reason) for row in rows], now)
    _tell(sorted({row.notification_id for row in rows}), using)


def _put_together(worth: Sequence[Gathering], using: str, now: datetime) -> int:
    sections = sections_for(worth, using, now)
    wholes = [_notification(gathering, sections.get(id(gathering), ()), now) for gathering in worth]
    Notification.objects.using(using).bulk_create(wholes)
    pairs = list(zip(worth, wholes, strict=True))
    deliveries = [_delivery(gathering, whole) for gathering, whole in pairs]
    Delivery.objects.using(using).bulk_create(deliveries)
    made = list(zip(worth, deliveries, strict=True))
    merged = Delivery.objects.using(using).merge([(row.pk, new.pk) for item, new in made for row in item.going], now)
    _tell([whole.pk for whole in wholes], using)
    return len(merged)


def _notification(gathering: Gathering, sections: Sequence[Any], now: datetime) -> Notification:
    rows = gathering.going
    return Notification(
        cluster=rows[0].notification.cluster,
        event=EVENT_OF.get(Notification.Gathers(gathering.gathers), rows[0].notification.event),
        priority=min(row.notification.priority for row in rows),
        context={"sections": sections} if sections else {},
        gathers=gathering.gathers,
        created_at=now,
    )


def _delivery(gathering: Gathering, whole: Notification) -> Delivery:
    first = gathering.going[0]
    score = max(row.score for row in gathering.going)
    ids = {"recipient_id": first.recipient_id, "score": score}
    return Delivery.to(whole, first.channel, first.recipient_key, first.address, **ids)


def _tell(notification_ids: Sequence[int], using: str) -> None:
    if notification_ids:
        tell = partial(tell_queued, partitions.current(), tuple(notification_ids))
        transaction.on_commit(tell, using=using, robust=True)
