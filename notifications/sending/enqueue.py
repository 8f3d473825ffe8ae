"""Write a validated request: a notification, a delivery per recipient and channel, and a log row per drop."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from django.db import transaction

from notifications import conf
from notifications.conf import is_off
from notifications.core import clock
from notifications.core.databases import read_from_primary
from notifications.core.rules import log_text
from notifications.models import AttachedFile, Notification, NotificationLog
from notifications.models.notification import send_signal_on_commit
from notifications.outcomes import Answer, DeliveryState, Drop, Hold, Reason, SendResult
from notifications.sending.audience import Audience
from notifications.sending.decisions import Candidate, Decisions, get_address_kinds
from notifications.sending.duplicates import make_reserving_lookup
from notifications.sending.idempotency import build_duplicate_result, read_outcomes, release_key, store_notification
from notifications.sending.permission import check_permission
from notifications.sending.queue_limit import QueueFull, QueueRoom, is_limited
from notifications.sending.request import Request
from notifications.storage.insert import (
    MAX_INSERT_ROWS,
    NewDelivery,
    insert_deliveries,
    insert_with_deliveries,
    inserts_in_one_statement,
)
from notifications.storage.locks import lock_queue

ALL_RECIPIENTS = "*"
HELD, READY = DeliveryState.HELD.value, DeliveryState.READY.value
REASON_VALUES = {reason: reason.value for reason in Reason}


@read_from_primary()
def enqueue(request: Request, recipients: Any, using: str) -> SendResult:
    """Decide about the recipients and write the rows, all or nothing: in the caller's transaction, or in a new one."""
    audience = Audience(recipients, request.cluster, (*request.channels, *request.not_configured))
    if _can_write_at_once(request, audience):
        return _enqueue_at_once(request, audience, using)
    with transaction.atomic(using=using):
        check_permission(request.event, request.options.actor)
        if is_limited(request) and conf.current().enabled:
            # Before anything is written that another send may wait for, so that two sends cannot deadlock.
            lock_queue(using)
        request = _resolve_cluster(request, audience)
        # Unless the call was spooled, the INSERT sets and returns the time of the database, which saves a statement.
        now = clock.now(using) if request.requested_at else None
        notification, created = store_notification(request, now, using)
        if not created:
            return build_duplicate_result(notification, request, _requested_but_unconfigured(request, audience))
        if is_off():
            result = _build_result(request, notification, audience)
            return _refuse(request, notification, result, Reason.SWITCHED_OFF, now or notification.created_at, using)
        return _enqueue_in_chunks(request, notification, audience, now or notification.created_at, using)


def _resolve_cluster(request: Request, audience: Audience) -> Request:
    request = request.with_cluster()
    audience.cluster = request.cluster
    return request


def _can_write_at_once(request: Request, audience: Audience) -> bool:
    """Return whether there are few recipients, and nothing must be written before it is known who gets it."""
    configured = conf.current()
    needs_no_row = not (request.requested_at or request.options.idempotency_key or request.event.dedup_window)
    return (
        needs_no_row
        and configured.enabled
        and not (configured.queue_limit or configured.cluster_queue_limit)
        and audience.fits_one_statement
    )


def _enqueue_at_once(request: Request, audience: Audience, using: str) -> SendResult:
    """Decide first, then write. This saves three of five statements, and most calls can do it."""
    check_permission(request.event, request.options.actor)
    request = _resolve_cluster(request, audience)
    now = clock.cached_now(using)
    notification = request.build_notification(now)
    decisions = Decisions(request, notification, get_address_kinds(request), now, lambda wanted: {})
    decided = (pair for chunk in audience.chunks(MAX_INSERT_ROWS) for pair in decisions.decide_chunk(chunk))
    rows = _collect_rows(decided)
    # A single statement is atomic without a savepoint.
    needs_savepoint = bool(rows.drops or rows.rejections or request.attachments) or not inserts_in_one_statement(using)
    with transaction.atomic(using=using, savepoint=needs_savepoint):
        insert_with_deliveries(notification, request.score, rows.deliveries, using)
        if request.attachments:
            AttachedFile.objects.using(using).attach(notification, request.attachments)
        result = _build_result(request, notification, audience)
        _log_and_count(result, rows, notification, now, using)
        _send_signal_on_commit(result, using)
    return result


def _enqueue_in_chunks(
    request: Request, notification: Notification, audience: Audience, now: datetime, using: str
) -> SendResult:
    if not is_limited(request):
        return _write_chunks(request, notification, audience, now, using)
    room = QueueRoom(request, using)
    try:
        with transaction.atomic(using=using):
            result = _write_chunks(request, notification, audience, now, using, room.check)
            room.make_room(result.queued + result.held, now)
    except QueueFull:
        result = _build_result(request, notification, audience)
        result.refused_channels = request.refused_channels
        return _refuse(request, notification, result, Reason.QUEUE_FULL, now, using)
    return result


def _write_chunks(
    request: Request,
    notification: Notification,
    audience: Audience,
    now: datetime,
    using: str,
    check_room: Callable[[int], None] = lambda count: None,
) -> SendResult:
    """Write the rows of all chunks.

    :param check_room: called before each chunk is written, with the number of deliveries of the send so far.
    """
    result = _build_result(request, notification, audience)
    AttachedFile.objects.using(using).attach(notification, request.attachments)
    lookup = make_reserving_lookup(request.event, notification, now, using)
    decisions = Decisions(request, notification, get_address_kinds(request), now, lookup)
    for chunk in audience.chunks(conf.current().chunk_size):
        rows = _collect_rows(decisions.decide_chunk(chunk))
        check_room(result.queued + result.held + len(rows.deliveries))
        insert_deliveries(using, notification.pk, request.score, rows.deliveries)
        _log_and_count(result, rows, notification, now, using)
    _send_signal_on_commit(result, using)
    return result


def _build_result(request: Request, notification: Notification, audience: Audience) -> SendResult:
    return SendResult(
        notification.pk,
        not_configured=request.not_configured,
        problems=request.problems,
        bad_call=request.is_bad_call,
        refused_channels=_requested_but_unconfigured(request, audience),
        _read=partial(read_outcomes, notification.pk, str(notification._state.db)),
    )


def _log_and_count(
    result: SendResult, rows: "ChunkRows", notification: Notification, now: datetime, using: str
) -> None:
    log_rows = [
        *_build_drop_rows(notification, rows.drops, now),
        *_build_rejection_rows(notification, rows.rejections, now),
    ]
    if log_rows:
        NotificationLog.objects.using(using).append(log_rows)
    result.held += rows.held
    result.queued += len(rows.deliveries) - rows.held
    result.reasons.update(rows.reasons)


def _send_signal_on_commit(result: SendResult, using: str) -> None:
    if result.queued and result.notification_id is not None:
        send_signal_on_commit((result.notification_id,), using)


def _refuse(
    request: Request, notification: Notification, result: SendResult, reason: Reason, now: datetime, using: str
) -> SendResult:
    """Queue nothing, because the outbox is full or Klaxon is switched off, and write one log row that says so."""
    release_key(notification, using)
    row = NotificationLog.for_notification(
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
    """Return the channels that the call or one of its recipients names, but the site has not configured."""
    named = {*request.refused_channels, *audience.requested_channels}
    return tuple(channel for channel in request.not_configured if channel in named)


@dataclass
class ChunkRows:
    """The rows to write for a chunk."""

    deliveries: list[NewDelivery] = field(default_factory=list)
    drops: list[tuple[Candidate, Drop]] = field(default_factory=list)
    # Candidates with an unusable address in their settings, for whom the address of the account is used.
    rejections: list[Candidate] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    held: int = 0


def _collect_rows(decided: Iterable[tuple[Candidate, Answer]]) -> ChunkRows:
    rows = ChunkRows()
    for candidate, answer in decided:
        if isinstance(answer, Drop):
            rows.reasons[answer.reason] += 1
            rows.drops.append((candidate, answer))
        else:
            rows.held += isinstance(answer, Hold)
            rows.deliveries.append(_build_delivery_row(candidate, answer))
            if candidate.rejected_address:
                rows.rejections.append(candidate)
    return rows


def _build_delivery_row(candidate: Candidate, answer: Answer) -> NewDelivery:
    state, reason, until = READY, "", None
    if isinstance(answer, Hold):
        state, reason, until = HELD, REASON_VALUES[answer.reason], answer.until
    return (
        candidate.channel,
        candidate.user_id,
        candidate.key,
        candidate.stored_address,
        candidate.address_hash,
        state,
        reason,
        until,
    )


def _build_drop_rows(
    notification: Notification, drops: Sequence[tuple[Candidate, Drop]], now: datetime
) -> list[NotificationLog]:
    """Return a log row for each drop."""
    if not drops:
        return []
    about = NotificationLog.for_notification(notification, NotificationLog.Kind.DROP, now)
    return [
        about.copy_for(
            candidate.stored_address,
            recipient_id=candidate.user_id,
            recipient_key=candidate.key,
            channel=candidate.channel,
            reason=answer.reason,
            error_message=log_text(answer.rule),
        )
        for candidate, answer in drops
    ]


def _build_rejection_rows(
    notification: Notification, candidates: Sequence[Candidate], now: datetime
) -> list[NotificationLog]:
    """Return a log note for each rejected address."""
    return [
        NotificationLog.for_rejected_address(
            notification,
            now,
            candidate.rejected_address,
            candidate.kind,
            candidate.channel,
            candidate.key,
            recipient_id=candidate.user_id,
        )
        for candidate in candidates
    ]
