"""Start the escalation of a notification, in the transaction that queues it."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from notifications.core import clock
from notifications.escalation.policies import find_policy, may_escalate
from notifications.events import Escalation
from notifications.events.escalation import Page
from notifications.models import EscalationEntry, EscalationRun, Notification
from notifications.outcomes import Reason, SendResult
from notifications.sending.hooks import SendHook, register_send_hook
from notifications.sending.request import Request

NOTHING_HAPPENED = {Reason.DUPLICATE, Reason.SWITCHED_OFF, Reason.QUEUE_FULL}
"""If a notification was dropped only for these reasons, it does not escalate: another one does, or the caller knows."""


def connect() -> None:
    """Let notifications escalate from now on."""
    register_send_hook("escalation", SendHook(applies, start_after_send))


def applies(request: Request, using: str) -> bool:
    """Return whether the notification of a request may escalate. Those that an escalation sends do not."""
    return request.escalates_id is None and may_escalate(request.event, using)


def start_after_send(request: Request, result: SendResult, using: str) -> None:
    """Start the escalation of a notification that has just been queued, unless it has no recipient of its own."""
    reasons = set(result.reasons)
    is_sent = result.queued or result.held or not reasons or reasons - NOTHING_HAPPENED
    if not is_sent or result.notification_id is None:
        return
    notification = Notification.objects.using(using).select_related("cluster").get(pk=result.notification_id)
    escalation = find_policy(request.event, notification.cluster, using)
    pages = escalation.list_pages(notification.priority) if escalation else ()
    if escalation is not None and pages:
        start(notification, escalation, pages, notification.wanted_at, using)


def start(
    notification: Notification, escalation: Escalation, pages: Sequence[Page], base_at: datetime, using: str
) -> EscalationRun:
    """Start an escalation.

    :param pages: those of the escalation, at least one.
    :param base_at: the time that the pages count from.
    """
    now = clock.now(using)
    run = EscalationRun(
        notification=notification,
        event=notification.event,
        pages=pages,
        repeat_every=escalation.repeat_every,
        acknowledged_for=escalation.acknowledged_for,
        base_at=base_at,
        started_at=now,
    )
    run.due_at = base_at + run.next_after
    run.save(using=using, force_insert=True)
    note(run, EscalationEntry.Kind.STARTED, now, using)
    return run


def note(run: EscalationRun, kind: str, now: datetime, using: str, **values: Any) -> None:
    """Add an entry to the history of an escalation."""
    note_all([run], kind, now, using, **values)


def note_all(runs: Iterable[EscalationRun], kind: str, now: datetime, using: str, **values: Any) -> None:
    """Add the same entry to the history of each of these escalations."""
    entries = [EscalationEntry(run_id=run.pk, kind=kind, at=now, **values) for run in runs]
    EscalationEntry.objects.using(using).bulk_create(entries)
