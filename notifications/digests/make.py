"""The making of the digests and batches that are due."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import InterfaceError, OperationalError, router, transaction

from notifications.core import clock
from notifications.core.databases import read_from_primary
from notifications.delivering.recheck import apply_decisions, load_contexts
from notifications.digests.grouping import PendingDigest, group_due
from notifications.digests.sections import StoredSections, load_sections
from notifications.models import Delivery, FigureDelta, Notification
from notifications.models.notification import send_signal_on_commit
from notifications.outcomes import DeliveryState, Drop, Hold
from notifications.storage.figures import find_hour
from notifications.storage.locks import try_lock_task
from notifications.storage.outbox import StateChange
from notifications.storage.queue_depth import find_band

logger = logging.getLogger("notifications.digests")

RECIPIENTS_PER_TRANSACTION = 100
DIGESTS_LOCK = "klaxon.digests"


@dataclass(frozen=True)
class DigestResult:
    """The result of a run.

    :param made: the number of digests and batches that were queued.
    :param merged: the number of deliveries in them.
    :param single: the number of deliveries that are sent as ordinary messages.
    :param refused: the number of deliveries that are no longer wanted or have expired.
    :param failed: the number of recipients whose digests could not be made. The log says why.
    """

    made: int = 0
    merged: int = 0
    single: int = 0
    refused: int = 0
    failed: int = 0

    def __add__(self, other: "DigestResult") -> "DigestResult":
        counts = zip(vars(self).values(), vars(other).values(), strict=True)
        return DigestResult(*(first + second for first, second in counts))


class AlreadyRunning(Exception):
    """Another process is making digests."""


@read_from_primary()
def make_due(now: datetime | None = None, should_stop: Callable[[], bool] = lambda: False) -> DigestResult:
    """Make all digests and batches that are due. If several processes call it at the same time, one does the work.

    :param should_stop: called after each hundred recipients. If it returns true, the others wait for the next call.
    """
    using = router.db_for_write(Delivery)
    now = now or clock.now(using)
    result = DigestResult()
    try:
        for keys in _due_recipients(using, now):
            result += _make_isolated(keys, using, now)
            if should_stop():
                break
    except AlreadyRunning:
        logger.debug("Another process is making the digests.")
    return result


@read_from_primary()
def release_overdue(now: datetime | None = None, should_stop: Callable[[], bool] = lambda: False) -> int:
    """Make ready the deliveries that are in no digest or batch an hour after their time.

    While another process is making digests, this does nothing. Returns how many deliveries became ready.
    """
    using = router.db_for_write(Delivery)
    now = now or clock.now(using)
    released = 0
    while not should_stop():
        with transaction.atomic(using=using):
            count = Delivery.objects.using(using).release_overdue(now) if try_lock_task(DIGESTS_LOCK, using) else 0
        released += count
        if not count:
            break
    if released:
        logger.warning("%d deliveries were in no digest an hour after their time. They are sent one by one.", released)
    return released


def _due_recipients(using: str, now: datetime) -> Iterator[list[str]]:
    """Yield the recipients with something due, each once. Another process has locked those that stay due."""
    seen: set[str] = set()
    skipped = 0
    while True:
        limit = RECIPIENTS_PER_TRANSACTION + skipped
        page = Delivery.objects.using(using).recipients_due_for_digest(now)[:limit]
        keys = [key for key in page if key not in seen]
        if not keys and len(page) < limit:
            return
        skipped = len(page) - len(keys)
        seen.update(keys)
        if keys:
            yield keys


def _make_isolated(keys: Sequence[str], using: str, now: datetime) -> DigestResult:
    """Make the digests of these recipients. After an error, make them one by one, so that it affects one recipient."""
    try:
        return _make(keys, using, now)
    except (AlreadyRunning, OperationalError, InterfaceError):
        raise
    except Exception:
        if len(keys) > 1:
            return sum((_make_isolated([key], using, now) for key in keys), DigestResult())
        logger.exception("No digest can be made for %s. After an hour its deliveries are sent one by one.", keys[0])
        return DigestResult(failed=1)


def _make(keys: Sequence[str], using: str, now: datetime) -> DigestResult:
    # Before any lock is taken, because the host's function may be slow.
    sections = load_sections(keys, using, now)
    with transaction.atomic(using=using):
        if not try_lock_task(DIGESTS_LOCK, using):
            raise AlreadyRunning
        all_pending = list(group_due(Delivery.objects.using(using).lock_digest_items(keys), using, now))
        refused = _drop([pair for pending in all_pending for pair in pending.refused], using, now)
        to_make = [pending for pending in all_pending if pending.should_be_made]
        merged = _merge(to_make, sections, using, now)
        single = [row for pending in all_pending for row in pending.single]
        _release(single, using, now)
        return DigestResult(len(to_make), merged, len(single), refused)


def _drop(refused: Sequence[tuple[Delivery, Drop | Hold]], using: str, now: datetime) -> int:
    load_contexts([row for row, _ in refused], using)
    return apply_decisions(refused, using, now).total()


def _release(rows: Sequence[Delivery], using: str, now: datetime) -> None:
    held, ready = DeliveryState.HELD, DeliveryState.READY
    Delivery.objects.using(using).settle([StateChange(row.pk, row.fence, held, ready, row.reason) for row in rows], now)
    _signal_queued(sorted({row.notification_id for row in rows}), using)


def _merge(to_make: Sequence[PendingDigest], sections: StoredSections, using: str, now: datetime) -> int:
    notifications = [_build_notification(pending, sections, now) for pending in to_make]
    Notification.objects.using(using).bulk_create(notifications)
    deliveries = [_build_delivery(*pair) for pair in zip(to_make, notifications, strict=True)]
    Delivery.objects.using(using).bulk_create(deliveries)
    made = list(zip(to_make, deliveries, strict=True))
    pairs = [(row.pk, delivery.pk) for pending, delivery in made for row in pending.items]
    merged = set(Delivery.objects.using(using).merge(pairs, now))
    _count(made, merged, using, now)
    _signal_queued([notification.pk for notification in notifications], using)
    return len(merged)


def _count(made: Sequence[tuple[PendingDigest, Delivery]], merged: set[int], using: str, now: datetime) -> None:
    """Add the digests and their items to the figures, in the transaction that makes them."""
    counts: Counter[tuple[Any, ...]] = Counter()
    for pending, delivery in made:
        notification = delivery.notification
        key = notification.cluster_id, delivery.channel, find_band(delivery.score), notification.digest_kind
        counts[FigureDelta.Kind.DIGEST, *key] += 1
        counts[FigureDelta.Kind.MERGED, *key] += sum(row.pk in merged for row in pending.items)
    names = ("kind", "cluster_id", "channel", "band", "outcome")
    rows = (
        FigureDelta(hour=find_hour(now), count=count, **dict(zip(names, key, strict=True)))
        for key, count in counts.items()
    )
    FigureDelta.objects.using(using).bulk_create(rows)


def _build_notification(pending: PendingDigest, sections: StoredSections, now: datetime) -> Notification:
    rows = pending.items
    key = rows[0].notification.cluster_id, getattr(pending.person.user, "pk", None)
    has_sections = pending.digest_kind != Notification.DigestKind.BATCH and key in sections
    return Notification(
        cluster=rows[0].notification.cluster,
        event=pending.event,
        priority=min(row.notification.priority for row in rows),
        context={"sections": sections[key]} if has_sections else {},
        digest_kind=pending.digest_kind,
        attachment_bytes=pending.attachment_bytes,
        created_at=now,
    )


def _build_delivery(pending: PendingDigest, notification: Notification) -> Delivery:
    first = pending.items[0]
    score = max(row.score for row in pending.items)
    ids = {"recipient_id": first.recipient_id, "score": score}
    return Delivery.build(notification, first.channel, first.recipient_key, first.address, **ids)


def _signal_queued(notification_ids: Sequence[int], using: str) -> None:
    if notification_ids:
        send_signal_on_commit(notification_ids, using)
