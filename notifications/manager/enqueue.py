"""Writing a checked request down: a notification, a delivery per recipient and channel, a log row per drop."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from django.db import transaction

from notifications import clock, conf, partitions, signals
from notifications.audience import Audience, Chunk
from notifications.gates import Facts
from notifications.manager.decisions import decided, kinds_of
from notifications.manager.duplicates import reserving
from notifications.manager.idempotency import first_result, outcomes, stored
from notifications.manager.permission import check_permission
from notifications.manager.queue_limit import has_room
from notifications.manager.request import Request
from notifications.models import Delivery, Notification, NotificationLog
from notifications.outcomes import Answer, DeliveryState, Drop, Hold, Reason, SendResult

EVERYBODY = "*"


def queued(request: Request, recipients: Any, using: str) -> SendResult:
    """Decide and write, all or nothing: in the caller's transaction, or in one of its own."""
    with transaction.atomic(using=using):
        check_permission(request.event, request.options.actor)
        request = request.in_its_cluster()
        now = clock.now(using)
        notification, created = stored(request, now, using)
        if not created:
            return first_result(notification, request)
        return enqueue(request, notification, recipients, now, using)


def enqueue(request: Request, notification: Notification, recipients: Any, now: datetime, using: str) -> SendResult:
    result = SendResult(
        notification.pk,
        not_configured=request.not_configured,
        refused_channels=request.refused_channels,
        _read=partial(outcomes, notification.pk),
    )
    if not has_room(request, using, now):
        return _refused(request, notification, result, now, using)
    audience = Audience(recipients, request.cluster, (*request.channels, *request.not_configured))
    result.refused_channels = _asked_in_vain(request, audience)
    kinds = kinds_of(request)
    for chunk in audience.chunks(conf.current().chunk_size):
        written = _decide_chunk(request, notification, chunk, kinds, now, using)
        Delivery.objects.using(using).bulk_create(written.deliveries)
        if written.drops:
            NotificationLog.objects.using(using).append(written.drops)
        result.held += written.held
        result.queued += len(written.deliveries) - written.held
        result.reasons.update(written.reasons)
    if result.queued:
        tell = partial(tell_queued, partitions.current(), (notification.pk,))
        transaction.on_commit(tell, using=using, robust=True)
    return result


def _refused(request: Request, notification: Notification, result: SendResult, now: datetime, using: str) -> SendResult:
    """The outbox is full: nobody gets it, and one row of the log says so."""
    row = NotificationLog.about(
        notification,
        NotificationLog.Kind.DROP,
        now,
        recipient_key=EVERYBODY,
        channel=", ".join(request.channels)[:50],
        reason=Reason.QUEUE_FULL,
    )
    NotificationLog.objects.using(using).append([row])
    result.reasons[Reason.QUEUE_FULL] += 1
    return result


def _asked_in_vain(request: Request, audience: Audience) -> tuple[str, ...]:
    """Channels that the site does not have, and the call or one of its recipients asked for by name."""
    named = {*request.refused_channels, *audience.asked_for}
    return tuple(channel for channel in request.not_configured if channel in named)


def tell_queued(partition: str, notification_ids: tuple[int, ...]) -> None:
    signals.notifications_queued.send_robust(
        sender=Notification, partition=partition, notification_ids=notification_ids
    )


@dataclass
class Written:
    """What a chunk comes to."""

    deliveries: list[Delivery] = field(default_factory=list)
    drops: list[NotificationLog] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    held: int = 0


def _decide_chunk(
    request: Request, notification: Notification, chunk: Chunk, kinds: Mapping[str, str], now: datetime, using: str
) -> Written:
    written = Written()
    repeats = reserving(request.event, notification, now, using)
    for facts, answer in decided(request, notification, chunk, kinds, now, repeats):
        if isinstance(answer, Drop):
            written.reasons[answer.reason] += 1
            written.drops.append(_drop(notification, facts, answer, now))
        else:
            written.held += isinstance(answer, Hold)
            written.deliveries.append(_delivery(notification, facts, answer, request.score))
    return written


def _delivery(notification: Notification, facts: Facts, answer: Answer, score: int) -> Delivery:
    held = isinstance(answer, Hold)
    return Delivery.to(
        notification,
        facts.channel,
        facts.person.key,
        facts.kept_address,
        recipient_id=getattr(facts.person.user, "pk", None),
        state=DeliveryState.HELD if held else DeliveryState.READY,
        reason=answer.reason if isinstance(answer, Hold) else "",
        due_at=answer.until if isinstance(answer, Hold) else None,
        score=score,
    )


def _drop(notification: Notification, facts: Facts, answer: Drop, now: datetime) -> NotificationLog:
    return NotificationLog.about(
        notification,
        NotificationLog.Kind.DROP,
        now,
        facts.kept_address,
        recipient_id=getattr(facts.person.user, "pk", None),
        recipient_key=facts.person.key,
        channel=facts.channel,
        reason=answer.reason,
        error_message=answer.rule,
    )
