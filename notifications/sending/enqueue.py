"""Writing a checked request down: a notification, a delivery per recipient and channel, a log row per drop."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from django.db import transaction

from notifications import conf
from notifications.core import clock
from notifications.core.primary import read_from_primary
from notifications.core.rules import log_text
from notifications.core.switch import is_off
from notifications.models import AttachedFile, Notification, NotificationLog
from notifications.models.queued_signal import tell_on_commit
from notifications.outcomes import Answer, DeliveryState, Drop, Hold, Reason, SendResult
from notifications.sending.audience import Audience
from notifications.sending.decisions import Candidate, Decisions, address_kinds
from notifications.sending.duplicates import reserving_lookup
from notifications.sending.idempotency import build_duplicate_result, read_outcomes, release_key, stored
from notifications.sending.permission import check_permission
from notifications.sending.queue_limit import QueueFull, Room, is_limited
from notifications.sending.request import Request
from notifications.storage.insert import (
    MAX_INSERT_ROWS,
    NewDelivery,
    insert_deliveries,
    insert_with_deliveries,
    inserts_in_one_statement,
)
from notifications.storage.waiting import lock_queue

ALL_RECIPIENTS = "*"
HELD, READY = DeliveryState.HELD.value, DeliveryState.READY.value
WORDS = {reason: reason.value for reason in Reason}


@read_from_primary()
def enqueue(request: Request, recipients: Any, using: str) -> SendResult:
    """Decide and write, all or nothing: in the caller's transaction, or in one of its own."""
    audience = Audience(recipients, request.cluster, (*request.channels, *request.not_configured))
    if _can_be_written_at_once(request, audience):
        return _at_once(request, audience, using)
    with transaction.atomic(using=using):
        check_permission(request.event, request.options.actor)
        if is_limited(request) and conf.current().enabled:
            # Before anything is written that another send may wait for, or two could wait for each other.
            lock_queue(using)
        request = _in_its_cluster(request, audience)
        # What was asked for just now is stored with the time of the database, which need not be read before.
        now = clock.now(using) if request.asked_at else None
        notification, created = stored(request, now, using)
        if not created:
            return build_duplicate_result(notification, request, _requested_but_unconfigured(request, audience))
        if is_off():
            result = _result(request, notification, audience)
            return _refused(request, notification, result, Reason.SWITCHED_OFF, now or notification.created_at, using)
        return _chunk_by_chunk(request, notification, audience, now or notification.created_at, using)


def _in_its_cluster(request: Request, audience: Audience) -> Request:
    request = request.with_cluster()
    audience.cluster = request.cluster
    return request


def _can_be_written_at_once(request: Request, audience: Audience) -> bool:
    """Whether it is to a handful, and nothing need be written before it is known who gets it."""
    configured = conf.current()
    waits_for_nothing = not (request.asked_at or request.options.idempotency_key or request.event.dedup_window)
    return (
        waits_for_nothing
        and configured.enabled
        and not (configured.queue_limit or configured.cluster_queue_limit)
        and audience.fits_one_statement
    )


def _at_once(request: Request, audience: Audience, using: str) -> SendResult:
    """Decide first, then write: most calls are of this kind, and this spares them three of five statements."""
    check_permission(request.event, request.options.actor)
    request = _in_its_cluster(request, audience)
    now = clock.cached_now(using)
    notification = request.notification(now)
    decisions = Decisions(request, notification, address_kinds(request), now, lambda wanted: {})
    written = _written(answer for chunk in audience.chunks(MAX_INSERT_ROWS) for answer in decisions.decide_chunk(chunk))
    # One statement is all or nothing by itself.
    several = bool(written.drops or written.passed_over or request.attachments) or not inserts_in_one_statement(using)
    with transaction.atomic(using=using, savepoint=several):
        insert_with_deliveries(notification, request.score, written.deliveries, using)
        AttachedFile.objects.using(using).attach(notification, request.attachments)
        result = _result(request, notification, audience)
        _count(result, written, notification, now, using)
        _tell_on_commit(result, using)
    return result


def _chunk_by_chunk(
    request: Request, notification: Notification, audience: Audience, now: datetime, using: str
) -> SendResult:
    if not is_limited(request):
        return _all_written(request, notification, audience, now, using)
    room = Room(request, using)
    try:
        with transaction.atomic(using=using):
            result = _all_written(request, notification, audience, now, using, room.check)
            room.make(result.queued + result.held, now)
    except QueueFull:
        result = _result(request, notification, audience)
        result.refused_channels = request.refused_channels
        return _refused(request, notification, result, Reason.QUEUE_FULL, now, using)
    return result


def _all_written(
    request: Request,
    notification: Notification,
    audience: Audience,
    now: datetime,
    using: str,
    check_room: Callable[[int], None] = lambda count: None,
) -> SendResult:
    """
    :param check_room: told, before each chunk is written, how many deliveries the send has come to.
    """
    result = _result(request, notification, audience)
    AttachedFile.objects.using(using).attach(notification, request.attachments)
    lookup = reserving_lookup(request.event, notification, now, using)
    decisions = Decisions(request, notification, address_kinds(request), now, lookup)
    for chunk in audience.chunks(conf.current().chunk_size):
        written = _written(decisions.decide_chunk(chunk))
        check_room(result.queued + result.held + len(written.deliveries))
        insert_deliveries(using, notification.pk, request.score, written.deliveries)
        _count(result, written, notification, now, using)
    _tell_on_commit(result, using)
    return result


def _result(request: Request, notification: Notification, audience: Audience) -> SendResult:
    return SendResult(
        notification.pk,
        not_configured=request.not_configured,
        problems=request.problems,
        bad_call=request.is_bad_call,
        refused_channels=_requested_but_unconfigured(request, audience),
        _read=partial(read_outcomes, notification.pk, str(notification._state.db)),
    )


def _count(result: SendResult, written: "Written", notification: Notification, now: datetime, using: str) -> None:
    rows = [*_dropped(notification, written.drops, now), *_passed_over(notification, written.passed_over, now)]
    NotificationLog.objects.using(using).append(rows)
    result.held += written.held
    result.queued += len(written.deliveries) - written.held
    result.reasons.update(written.reasons)


def _tell_on_commit(result: SendResult, using: str) -> None:
    if result.queued and result.notification_id is not None:
        tell_on_commit((result.notification_id,), using)


def _refused(
    request: Request, notification: Notification, result: SendResult, reason: Reason, now: datetime, using: str
) -> SendResult:
    """The outbox is full, or the system is switched off: nobody gets it, and one row of the log says so."""
    release_key(notification, using)
    row = NotificationLog.about(
        notification,
        NotificationLog.Kind.DROP,
        now,
        recipient_key=ALL_RECIPIENTS,
        channel=", ".join(request.channels)[:50],
        reason=reason,
    )
    NotificationLog.objects.using(using).append([row])
    result.reasons[reason] += 1
    return result


def _requested_but_unconfigured(request: Request, audience: Audience) -> tuple[str, ...]:
    """Channels that the site does not have, and the call or one of its recipients asked for by name."""
    named = {*request.refused_channels, *audience.requested_channels}
    return tuple(channel for channel in request.not_configured if channel in named)


@dataclass
class Written:
    """What a chunk comes to."""

    deliveries: list[NewDelivery] = field(default_factory=list)
    drops: list[tuple[Candidate, Drop]] = field(default_factory=list)
    # Those who get it at the address of their account because their own is unusable.
    passed_over: list[Candidate] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    held: int = 0


def _written(decided: Iterable[tuple[Candidate, Answer]]) -> Written:
    written = Written()
    for case, answer in decided:
        if isinstance(answer, Drop):
            written.reasons[answer.reason] += 1
            written.drops.append((case, answer))
        else:
            written.held += isinstance(answer, Hold)
            written.deliveries.append(_delivery(case, answer))
            if case.rejected_address:
                written.passed_over.append(case)
    return written


def _delivery(case: Candidate, answer: Answer) -> NewDelivery:
    state, reason, until = READY, "", None
    if isinstance(answer, Hold):
        state, reason, until = HELD, WORDS[answer.reason], answer.until
    return case.channel, case.user_id, case.key, case.stored_address, case.address_hash, state, reason, until


def _dropped(
    notification: Notification, drops: Sequence[tuple[Candidate, Drop]], now: datetime
) -> list[NotificationLog]:
    """A row of the log for each."""
    if not drops:
        return []
    about = NotificationLog.about(notification, NotificationLog.Kind.DROP, now)
    return [
        about.again(
            case.stored_address,
            recipient_id=case.user_id,
            recipient_key=case.key,
            channel=case.channel,
            reason=answer.reason,
            error_message=log_text(answer.rule),
        )
        for case, answer in drops
    ]


def _passed_over(notification: Notification, cases: Sequence[Candidate], now: datetime) -> list[NotificationLog]:
    """A row of the log for each."""
    return [
        NotificationLog.passed_over(
            notification, now, case.rejected_address, case.kind, case.channel, case.key, recipient_id=case.user_id
        )
        for case in cases
    ]
