"""Once, however often it is called: the unique constraint decides who was first, and the others get its figures."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from functools import partial

from django.db import IntegrityError, transaction

from notifications.exceptions import IdempotencyConflict
from notifications.models import Delivery, Notification, NotificationLog
from notifications.outcomes import DeliveryState, Outcome, SendResult
from notifications.sending.request import Request
from notifications.storage.chunks import iterate_in_chunks
from notifications.storage.insert import insert_notification


def stored(request: Request, now: datetime | None, using: str) -> tuple[Notification, bool]:
    """The notification's row and whether it is new. The unique constraint decides who was first."""
    row = request.notification(now)
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
    """The notification that has used the key of this call; None if none has."""
    same = {"cluster": request.cluster.pk, "event": request.event.name}
    return Notification.objects.using(using).filter(**same, idempotency_key=request.options.idempotency_key).first()


def release_key(refused: Notification, using: str) -> None:
    """Of a call that queued nothing, so that it may be made again with its key."""
    if refused.idempotency_key is not None:
        mine = Notification.objects.using(using).filter(pk=refused.pk)
        mine.update(idempotency_key=None, idempotency_hash="")


def build_duplicate_result(first: Notification, request: Request, refused_channels: tuple[str, ...]) -> SendResult:
    if first.idempotency_hash != request.fingerprint:
        raise IdempotencyConflict(
            f"The idempotency key {first.idempotency_key!r} was used for {first} with another content. "
            "Use a new key, or send the same content."
        )
    states = Counter(first.deliveries.values_list("state", flat=True))
    drops = NotificationLog.objects.filter(notification=first, kind=NotificationLog.Kind.DROP, delivery=None)
    held = states[DeliveryState.HELD]
    return SendResult(
        notification_id=first.pk,
        queued=states.total() - held,
        held=held,
        reasons=Counter(drops.values_list("reason", flat=True)),
        not_configured=request.not_configured,
        problems=request.problems,
        bad_call=request.is_bad_call,
        refused_channels=refused_channels,
        duplicate=True,
        _read=partial(read_outcomes, first.pk, str(first._state.db)),
    )


def read_outcomes(notification_id: int, using: str) -> Iterator[Outcome]:
    """What became of each recipient on each channel of a notification, as it stands now.

    :param using: the database to which it was written; a replica may not know it yet.
    """
    mine = Delivery.objects.using(using).filter(notification_id=notification_id)
    for row in iterate_in_chunks(mine, "recipient_key", "channel", "state", "reason"):
        yield Outcome(*row)
    drops = NotificationLog.objects.using(using).filter(
        notification_id=notification_id, kind=NotificationLog.Kind.DROP, delivery=None
    )
    for key, channel, reason in iterate_in_chunks(drops, "recipient_key", "channel", "reason"):
        yield Outcome(key, channel, DeliveryState.DROPPED, reason)
