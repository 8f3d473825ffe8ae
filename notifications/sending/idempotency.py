"""Idempotency keys: a unique constraint decides which call is the first; the others get its result."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from notifications.exceptions import IdempotencyConflict
from notifications.models import Delivery, Notification, NotificationLog
from notifications.outcomes import DeliveryState, Outcome
from notifications.sending.request import Request
from notifications.storage.chunks import iterate_in_chunks
from notifications.storage.insert import insert_notification


def store_notification(request: Request, now: datetime | None, using: str) -> tuple[Notification, bool]:
    """Insert the notification of the call, or find the one with its key. Return it and whether it is new."""
    row = request.build_notification(now)
    if row.idempotency_key is None:
        insert_notification(row, using)
        return row, True
    try:
        with transaction.atomic(using=using):
            insert_notification(row, using)
    except IntegrityError:
        first = find_by_key(request, using)
        if first is None:
            raise
        return first, False
    return row, True


def find_by_key(request: Request, using: str) -> Notification | None:
    """Return the notification with the idempotency key of this call; None if there is none."""
    return (
        Notification.objects.using(using)
        .filter(
            cluster=request.cluster.pk,
            event=request.event.name,
            idempotency_key=request.options.idempotency_key,
        )
        .first()
    )


def release_key(notification: Notification, using: str) -> None:
    """Remove the idempotency key from a notification that queued nothing, so that the call can be repeated with it."""
    if notification.idempotency_key is not None:
        rows = Notification.objects.using(using).filter(pk=notification.pk)
        rows.update(idempotency_key=None, idempotency_hash="")


def count_present(first: Notification, request: Request) -> dict[str, Any]:
    """Return the present counts of the first notification with the key of a repeated call, for its result.

    :raises IdempotencyConflict: if the content of the calls differs.
    """
    if first.idempotency_hash != request.fingerprint:
        raise IdempotencyConflict(
            f"The idempotency key {first.idempotency_key!r} was used for {first} with different content. "
            "Use a new key, or send the same content."
        )
    states = Counter(first.deliveries.values_list("state", flat=True))
    drops = NotificationLog.objects.filter(notification=first, kind=NotificationLog.Kind.DROP, delivery=None)
    held = states[DeliveryState.HELD]
    reasons = Counter(drops.values_list("reason", flat=True))
    return {"queued": states.total() - held, "held": held, "reasons": reasons}


def read_outcomes(notification_id: int, using: str) -> Iterator[Outcome]:
    """Yield the present outcome of each recipient of a notification on each channel.

    :param using: the database to which the notification was written; a replica may not have it yet.
    """
    deliveries = Delivery.objects.using(using).filter(notification_id=notification_id)
    for row in iterate_in_chunks(deliveries, "recipient_key", "channel", "state", "reason"):
        yield Outcome(*row)
    drops = NotificationLog.objects.using(using).filter(
        notification_id=notification_id, kind=NotificationLog.Kind.DROP, delivery=None
    )
    for key, channel, reason in iterate_in_chunks(drops, "recipient_key", "channel", "reason"):
        yield Outcome(key, channel, DeliveryState.DROPPED, reason)
