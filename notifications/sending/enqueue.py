"""Queue a validated request: plan the rows for its recipients, and write them, all or nothing.

If the call names at most 50 users and addresses directly, and no group, topic or queryset, all rows are planned first
and then written, if possible by one statement. Otherwise, or if something must be written before it is known who gets
the notification, the rows are planned and written chunk by chunk.
"""

from collections import Counter
from collections.abc import Collection
from contextlib import nullcontext
from datetime import datetime
from functools import partial
from typing import Any

from django.db import transaction

from notifications import conf
from notifications.core import clock
from notifications.core.databases import is_in_transaction, read_from_primary
from notifications.core.rules import log_text
from notifications.models import AttachedFile, Notification, NotificationLog
from notifications.models.notification import send_signal_on_commit
from notifications.outcomes import Reason, SendResult
from notifications.sending.audience import Audience
from notifications.sending.decisions import Decisions, Plan, get_address_kinds
from notifications.sending.duplicates import make_reserving_lookup
from notifications.sending.hooks import find_send_hooks
from notifications.sending.idempotency import count_present, read_outcomes, release_key, store_notification
from notifications.sending.permission import check_permission
from notifications.sending.queue_limit import QueueFull, QueueRoom, is_limited
from notifications.sending.request import Request
from notifications.storage.engine import get_engine
from notifications.storage.insert import MAX_INSERT_ROWS, insert_deliveries, insert_with_deliveries
from notifications.storage.locks import lock_queue

ALL_RECIPIENTS = "*"


@read_from_primary()
def enqueue(request: Request, recipients: Any, using: str) -> SendResult:
    """Decide about the recipients and write the rows, all or nothing: in the caller's transaction, or in a new one."""
    configured, event = conf.current(), request.event
    channels = (*request.channels, *request.not_configured)
    audience = Audience(recipients, request.cluster, channels, event.name)
    if event.permission or configured.critical_message_permission:
        check_permission(event, request.options.actor)
    needs_row_first = bool(request.requested_at or request.options.idempotency_key or event.dedup_window)
    may_refuse = not configured.enabled or configured.queue_limit or configured.cluster_queue_limit
    hooks = find_send_hooks(request, using)
    if needs_row_first or may_refuse or hooks or not audience.fits_one_statement:
        with transaction.atomic(using=using):
            result = _write_in_chunks(request, audience, using)
            for hook in () if result.duplicate else hooks:
                hook.run(request, result, using)
            return result
    return _write_at_once(request, audience, using)


def _write_at_once(request: Request, audience: Audience, using: str) -> SendResult:
    """Plan all rows, then write them. This saves three of five statements. Most calls are written like this."""
    request = request.with_cluster()
    audience.cluster, now = request.cluster, clock.cached_now(using)
    notification = request.build_notification(now)
    decisions = Decisions(request, notification, get_address_kinds(request), now)
    plan = decisions.plan(audience.chunks(MAX_INSERT_ROWS))
    has_more_rows = plan.drops or plan.rejections or request.options.attachments
    is_one_statement = get_engine(using).can_write_in_with and not has_more_rows
    # A single statement is atomic without a savepoint, and needs no transaction of its own.
    needs_none = is_one_statement and not is_in_transaction(using)
    with nullcontext() if needs_none else transaction.atomic(using=using, savepoint=not is_one_statement):
        insert_with_deliveries(notification, request.score, plan.deliveries, using)
        result = build_result(request, notification, audience.requested_channels)
        if has_more_rows:
            AttachedFile.objects.using(using).attach(notification, request.options.attachments)
            _log_drops(plan, notification, now, using)
        _count(result, plan)
        _send_signal_on_commit(result, using)
    return result


def _write_in_chunks(request: Request, audience: Audience, using: str) -> SendResult:
    """Store the notification, or find the first one with its idempotency key. Then plan and write chunk by chunk."""
    has_limit = is_limited(request) and conf.current().enabled
    if has_limit:
        # Before anything is written that another send may wait for, so that two sends cannot deadlock.
        lock_queue(using)
    request = request.with_cluster()
    audience.cluster = request.cluster
    # Unless the call was spooled, the INSERT sets and returns the time of the database, which saves a statement.
    now = clock.now(using) if request.requested_at else None
    notification, is_new = store_notification(request, now, using)
    now = now or notification.created_at
    if not is_new:
        counts = count_present(notification, request)
        return build_result(request, notification, audience.requested_channels, duplicate=True, **counts)
    if conf.is_off():
        return _refuse(request, notification, audience, Reason.SWITCHED_OFF, now, using)
    if not has_limit:
        return _write_chunks(request, notification, audience, now, using)
    room = QueueRoom(request, using)
    try:
        with transaction.atomic(using=using):
            result = _write_chunks(request, notification, audience, now, using, room)
            room.make_room(result.queued + result.held, now)
    except QueueFull:
        return _refuse(request, notification, audience, Reason.QUEUE_FULL, now, using)
    return result


def _write_chunks(
    request: Request,
    notification: Notification,
    audience: Audience,
    now: datetime,
    using: str,
    room: QueueRoom | None = None,
) -> SendResult:
    """Write the rows of all chunks.

    :raises QueueFull: if there is no room for them.
    """
    event = request.event
    result = build_result(request, notification, audience.requested_channels)
    AttachedFile.objects.using(using).attach(notification, request.options.attachments)
    lookup = make_reserving_lookup(event, notification, now, using) if event.dedup_window else None
    decisions = Decisions(request, notification, get_address_kinds(request), now, lookup)
    for chunk in audience.chunks(conf.current().chunk_size):
        plan = decisions.plan([chunk])
        _count(result, plan)
        if room is not None:
            room.check(result.queued + result.held)
        insert_deliveries(using, notification.pk, request.score, plan.deliveries)
        _log_drops(plan, notification, now, using)
    _send_signal_on_commit(result, using)
    return result


def build_result(
    request: Request, notification: Notification | None, requested_channels: Collection[str] = (), **counts: Any
) -> SendResult:
    """Return the result of a call.

    :param notification: the stored row; None if the call was spooled.
    :param requested_channels: the channels that the recipients name.
    :param counts: the other fields of the result. Without them, the call has no delivery yet.
    """
    refused = []
    for channel in request.not_configured:
        if channel in request.refused_channels or channel in requested_channels:
            refused.append(channel)
    result = SendResult(
        None if notification is None else notification.pk,
        not_configured=request.not_configured,
        problems=request.problems,
        bad_call=bool(request.problems) and conf.current().on_bad_call == "log",
        refused_channels=tuple(refused),
        **counts,
    )
    if notification is not None:
        result._read = partial(read_outcomes, notification.pk, str(notification._state.db))
    return result


def _count(result: SendResult, plan: Plan) -> None:
    result.held += plan.held
    result.queued += len(plan.deliveries) - plan.held
    result.reasons.update(plan.reasons)


def _log_drops(plan: Plan, notification: Notification, now: datetime, using: str) -> None:
    """Write a log row for each drop, and a note for each rejected address."""
    rows = [
        NotificationLog.for_rejected_address(
            notification,
            now,
            candidate.rejected_address,
            candidate.kind,
            candidate.channel,
            candidate.key,
            recipient_id=candidate.user_id,
        )
        for candidate in plan.rejections
    ]
    if plan.drops:
        about = NotificationLog.for_notification(notification, NotificationLog.Kind.DROP, now)
        drops = [
            about.copy_for(
                candidate.stored_address,
                recipient_id=candidate.user_id,
                recipient_key=candidate.key,
                channel=candidate.channel,
                reason=answer.reason,
                error_message=log_text(answer.rule),
            )
            for candidate, answer in plan.drops
        ]
        rows = [*drops, *rows]
    NotificationLog.objects.using(using).append(rows)


def _send_signal_on_commit(result: SendResult, using: str) -> None:
    if result.queued and result.notification_id is not None:
        send_signal_on_commit((result.notification_id,), using)


def _refuse(
    request: Request, notification: Notification, audience: Audience, reason: Reason, now: datetime, using: str
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
    return build_result(request, notification, audience.requested_channels, reasons=Counter({reason: 1}))
