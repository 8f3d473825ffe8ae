"""Making the digests and batches that are due."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import InterfaceError, OperationalError, router, transaction

from notifications.core import clock
from notifications.core.primary import read_from_primary
from notifications.delivering.recheck import apply_refusals, load_contexts
from notifications.digests.grouping import Gathering, gathered
from notifications.digests.sections import Plain, sections_of_due
from notifications.models import Delivery, Notification
from notifications.models.queued_signal import tell_on_commit
from notifications.outcomes import DeliveryState, Drop, Hold
from notifications.storage.outbox import StateChange, try_lock_task

logger = logging.getLogger("notifications.digests")

AT_ONCE = 100
"""Recipients in one transaction."""
TASK = "klaxon.digests"


@dataclass(frozen=True)
class Made:
    """What one run came to.

    :param made: digests and batches that were queued.
    :param merged: what went into them.
    :param alone: what goes out by itself, because it was the only one of its batch.
    :param refused: what is not wanted any more, or has expired.
    :param failed: recipients for whom none could be made; the log says why.
    """

    made: int = 0
    merged: int = 0
    alone: int = 0
    refused: int = 0
    failed: int = 0

    def __add__(self, other: "Made") -> "Made":
        return Made(*(mine + its for mine, its in zip(vars(self).values(), vars(other).values(), strict=True)))


class AlreadyRunning(Exception):
    """Another process is making them."""


@read_from_primary()
def make_due(now: datetime | None = None, enough: Callable[[], bool] = lambda: False) -> Made:
    """Make every digest and batch whose time has come. Several processes may call it at once: one of them works.

    :param enough: asked after each hundred recipients; the others then have to wait for the next call.
    """
    using = router.db_for_write(Delivery)
    now = now or clock.now(using)
    made = Made()
    try:
        for keys in _recipients(using, now):
            made += _isolated(keys, using, now)
            if enough():
                break
    except AlreadyRunning:
        logger.debug("Another process is making the digests.")
    return made


@read_from_primary()
def release_forgotten(now: datetime | None = None, enough: Callable[[], bool] = lambda: False) -> int:
    """Let go out alone what no digest or batch came for within an hour of its time, unless one is just being made."""
    using = router.db_for_write(Delivery)
    now = now or clock.now(using)
    released = 0
    while not enough():
        with transaction.atomic(using=using):
            count = Delivery.objects.using(using).release_overdue(now) if try_lock_task(TASK, using) else 0
        released += count
        if not count:
            break
    if released:
        logger.warning("No digest came for %d deliveries within an hour; they go out alone.", released)
    return released


def _recipients(using: str, now: datetime) -> Iterator[list[str]]:
    """Those for whom something is due, each once. Who is still there after their turn is locked by somebody else."""
    seen: set[str] = set()
    passed_over = 0
    while True:
        limit = AT_ONCE + passed_over
        page = Delivery.objects.using(using).recipients_due_for_digest(now)[:limit]
        keys = [key for key in page if key not in seen]
        if not keys and len(page) < limit:
            return
        passed_over = len(page) - len(keys)
        seen.update(keys)
        if keys:
            yield keys


def _isolated(keys: Sequence[str], using: str, now: datetime) -> Made:
    """The digests of these recipients; should they fail, of one after the other, so that one costs nobody else his."""
    try:
        return _make(keys, using, now)
    except (AlreadyRunning, OperationalError, InterfaceError):
        raise
    except Exception:
        if len(keys) > 1:
            return sum((_isolated([key], using, now) for key in keys), Made())
        logger.exception("No digest can be made for %s; after an hour what waits goes out alone.", keys[0])
        return Made(failed=1)


def _make(keys: Sequence[str], using: str, now: datetime) -> Made:
    # Before anything is locked: the host's function may take its time.
    sections = sections_of_due(keys, using, now)
    with transaction.atomic(using=using):
        if not try_lock_task(TASK, using):
            raise AlreadyRunning
        found = list(gathered(Delivery.objects.using(using).lock_digest_items(keys), using, now))
        refused = _refuse([pair for gathering in found for pair in gathering.refused], using, now)
        worth = [gathering for gathering in found if gathering.is_worth_it]
        merged = _put_together(worth, sections, using, now)
        alone = [row for gathering in found for row in gathering.alone]
        _let_go_alone(alone, using, now)
        return Made(len(worth), merged, len(alone), refused)


def _refuse(refused: Sequence[tuple[Delivery, Drop | Hold]], using: str, now: datetime) -> int:
    load_contexts([row for row, _ in refused], using)
    return apply_refusals(refused, using, now).total()


def _let_go_alone(rows: Sequence[Delivery], using: str, now: datetime) -> None:
    held, ready = DeliveryState.HELD, DeliveryState.READY
    Delivery.objects.using(using).settle([StateChange(row.pk, row.fence, held, ready, row.reason) for row in rows], now)
    _tell(sorted({row.notification_id for row in rows}), using)


def _put_together(worth: Sequence[Gathering], sections: Plain, using: str, now: datetime) -> int:
    wholes = [_notification(gathering, sections, now) for gathering in worth]
    Notification.objects.using(using).bulk_create(wholes)
    deliveries = [_delivery(gathering, whole) for gathering, whole in zip(worth, wholes, strict=True)]
    Delivery.objects.using(using).bulk_create(deliveries)
    made = list(zip(worth, deliveries, strict=True))
    merged = Delivery.objects.using(using).merge([(row.pk, new.pk) for item, new in made for row in item.going], now)
    _tell([whole.pk for whole in wholes], using)
    return len(merged)


def _notification(gathering: Gathering, sections: Plain, now: datetime) -> Notification:
    rows = gathering.going
    mine = rows[0].notification.cluster_id, getattr(gathering.person.user, "pk", None)
    has_sections = gathering.gathers != Notification.Gathers.BATCH and mine in sections
    return Notification(
        cluster=rows[0].notification.cluster,
        event=gathering.event,
        priority=min(row.notification.priority for row in rows),
        context={"sections": sections[mine]} if has_sections else {},
        gathers=gathering.gathers,
        attachment_bytes=gathering.attachment_bytes,
        created_at=now,
    )


def _delivery(gathering: Gathering, whole: Notification) -> Delivery:
    first = gathering.going[0]
    score = max(row.score for row in gathering.going)
    ids = {"recipient_id": first.recipient_id, "score": score}
    return Delivery.build(whole, first.channel, first.recipient_key, first.address, **ids)


def _tell(notification_ids: Sequence[int], using: str) -> None:
    if notification_ids:
        tell_on_commit(notification_ids, using)
