"""What people do with an escalation: acknowledge, snooze, hand over, escalate by hand, resolve.

Every action locks the escalation, adds an entry to its history, and does nothing if it was done already. Pages that are
queued and not sent yet are cancelled when somebody acknowledges or resolves. If the user ``by`` is None, the site
itself acts, and no permission is checked.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import router, transaction
from django.db.models import Q

from notifications.core import clock
from notifications.core.databases import read_from_primary
from notifications.escalation.engine import Report, end_if_over, find_end, send_next
from notifications.escalation.policies import find_policy
from notifications.escalation.sending import get_cancel_key, send_page
from notifications.escalation.start import note, note_all, start
from notifications.events import DEFAULT_ESCALATION, NOTIFICATION_EVENTS, NotificationPriority
from notifications.events.escalation import MAX_AFTER
from notifications.exceptions import InvalidOption, NotPermitted
from notifications.models import Delivery, EscalationEntry, EscalationRun, Notification, get_members
from notifications.sending.acknowledge import acknowledge as acknowledge_notification
from notifications.sending.cancel import cancel_keys
from notifications.sending.hooks import register_acknowledgement_hook
from notifications.sending.permission import check_is_user, has_permission
from notifications.sending.request import validate_time

Kind, State = EscalationEntry.Kind, EscalationRun.State
PERMISSION = "klaxon.change_escalationrun"
ANSWER_TIME = timedelta(minutes=15)
"""How long somebody who was handed a matter has to acknowledge it before the next step."""


def connect() -> None:
    """Let acknowledgements stop escalations from now on."""
    register_acknowledgement_hook("escalation", stop_after_acknowledgement)


def get_first(notification: Notification) -> int:
    """Return the key of the notification whose escalation this one belongs to."""
    return int(notification.escalates_id or notification.pk)


def stop_after_acknowledgement(notification: Notification, user: Any, using: str, now: datetime) -> None:
    """Stop the escalations of an acknowledged notification, in the transaction of the acknowledgement.

    A batch or digest acknowledges all notifications in it.
    """
    ids = {get_first(notification)}
    if notification.digest_kind:
        items = Delivery.objects.using(using).filter(merged_into__notification=notification.pk)
        ids.update(items.values_list("notification_id", flat=True))
    _acknowledge(EscalationRun.objects.using(using).lock(ids), now, using, by=user)


def _acknowledge(runs: list[EscalationRun], now: datetime, using: str, **who: Any) -> list[EscalationRun]:
    """Acknowledge locked escalations; return those that it changes."""
    changed = [run for run in runs if not run.is_over and run.state != State.ACKNOWLEDGED]
    for run in changed:
        held, was_exhausted = run.acknowledged_for, run.state == State.EXHAUSTED
        run.state, run.acknowledged_at, run.acknowledged_by = State.ACKNOWLEDGED, now, who.get("by")
        run.due_at = None
        if held is not None and not was_exhausted:
            run.continue_at(now + held)
    fields = ("state", "acknowledged_at", "acknowledged_by", "due_at", "base_at")
    _stop(changed, fields, Kind.ACKNOWLEDGED, now, using, **who)
    return changed


def _resolve(runs: list[EscalationRun], now: datetime, using: str, by: Any, reason: str) -> list[EscalationRun]:
    """End locked escalations; return those that it changes."""
    changed = [run for run in runs if not run.is_over]
    for run in changed:
        run.end(State.RESOLVED, now)
    _stop(changed, ("state", "due_at", "ended_at"), Kind.RESOLVED, now, using, by=by, note=reason)
    return changed


def _stop(
    runs: list[EscalationRun], fields: Sequence[str], kind: str, now: datetime, using: str, **values: Any
) -> None:
    """Write escalations, add an entry to their history, and cancel what they have queued and nobody has got yet."""
    if not runs:
        return
    EscalationRun.objects.using(using).bulk_update(runs, fields)
    note_all(runs, kind, now, using, **values)
    cancel_keys({run.notification.cluster_id for run in runs}, {get_cancel_key(run) for run in runs})


@read_from_primary()
def acknowledge(notification: Notification, user: Any, hold_for: timedelta | None = None) -> bool:
    """Acknowledge a notification, as ``NotificationManager.acknowledge()`` does. Return whether it changes anything.

    It does so again after an earlier acknowledgement has ended.

    :param hold_for: the time after which the escalation goes on, unless somebody has resolved it; at most 30 days. By
        default, that of the escalation.
    :raises NotPermitted, InvalidOption: as ``NotificationManager.acknowledge()`` does, or if the time is not valid.
    """
    if hold_for is not None and not (isinstance(hold_for, timedelta) and timedelta() < hold_for <= MAX_AFTER):
        raise InvalidOption(f"hold_for must be a timedelta of more than 0 and at most {MAX_AFTER.days} days.")
    using = router.db_for_write(EscalationRun)
    with transaction.atomic(using=using):
        entries = EscalationEntry.objects.using(using).filter(run__notification=_get_first_of(notification))
        last = entries.order_by("-pk").values_list("pk", flat=True).first() or 0
        is_new = acknowledge_notification(notification, user)
        if hold_for is not None:
            for run in EscalationRun.objects.using(using).lock([get_first(notification)]):
                _hold(run, user, clock.now(using) + hold_for, using)
        return is_new or entries.filter(pk__gt=last, by=user).exists()


def _get_first_of(notification: Any) -> int | None:
    """Return the key of the first notification; None for what ``acknowledge()`` refuses."""
    return get_first(notification) if isinstance(notification, Notification) and notification.pk else None


def _hold(run: EscalationRun, user: Any, until: datetime, using: str) -> None:
    """Let a locked and acknowledged escalation go on at a time."""
    if run.state != State.ACKNOWLEDGED or run.due_at == until:
        return
    run.ended_at = None
    run.continue_at(until)
    run.save(using=using)
    note(run, Kind.SNOOZED, clock.now(using), using, by=user, note=until.isoformat())


def acknowledge_run(run: EscalationRun, by: Any = None, by_key: str = "") -> bool:
    """Acknowledge an escalation, for staff who are no recipients, and for recipients without an account.

    Return False if it is acknowledged or over.

    :param by: the user.
    :param by_key: the recipient key of somebody without an account. The caller has checked that they are a recipient.
    :raises NotPermitted: unless the user is a recipient, or has the permission ``klaxon.change_escalationrun``.
    """
    who = {"by": by, "by_key": by_key}
    return _change(run, None if by_key else by, lambda row, now, using: bool(_acknowledge([row], now, using, **who)))


def acknowledge_runs(runs: Collection[EscalationRun], by: Any) -> list[EscalationRun]:
    """Acknowledge escalations together, with as many queries as for one, and return those that it changes.

    :raises NotPermitted: as :func:`acknowledge_run` does; then none is changed.
    """
    return _change_together(runs, by, lambda rows, now, using: _acknowledge(rows, now, using, by=by))


def resolve(run: EscalationRun, by: Any, reason: str = "") -> bool:
    """End an escalation, because the matter is settled. Return False if it is over.

    :raises NotPermitted: as :func:`acknowledge_run` does.
    """
    return _change(run, by, lambda row, now, using: bool(_resolve([row], now, using, by, reason)))


def resolve_runs(runs: Collection[EscalationRun], by: Any, reason: str = "") -> list[EscalationRun]:
    """End escalations together, with as many queries as for one, and return those that it changes.

    :raises NotPermitted: as :func:`acknowledge_run` does; then none is changed.
    """
    return _change_together(runs, by, lambda rows, now, using: _resolve(rows, now, using, by, reason))


def snooze(run: EscalationRun, by: Any, until: datetime) -> bool:
    """Let nothing happen before a time; then the next step is sent. Return False if it is over or this is so already.

    :param until: at most 30 days from now. A naive time is in the current time zone.
    :raises InvalidOption: if it is no such time.
    :raises NotPermitted: as :func:`acknowledge_run` does.
    """
    moment = validate_time("until", until)
    if moment is None:
        raise InvalidOption("snooze() takes the time until which nothing happens, not None.")

    def change(row: EscalationRun, now: datetime, using: str) -> bool:
        if not now < moment <= now + MAX_AFTER:
            raise InvalidOption(
                f"An escalation cannot be snoozed until {moment}. Name a time in the next {MAX_AFTER.days} days, or "
                "resolve it."
            )
        if row.is_over or row.state == State.EXHAUSTED or row.due_at == moment or _is_ended(row, now, using):
            return False
        row.continue_at(moment)
        row.save(using=using)
        note(row, Kind.SNOOZED, now, using, by=by, note=moment.isoformat())
        return True

    return _change(run, by, change)


def hand_over(run: EscalationRun, by: Any, to: Any, reason: str = "") -> bool:
    """Send the notification to another user at once. If they do not acknowledge within 15 minutes, it goes on.

    Return False if it is over, or was handed to this user just now.

    :raises InvalidOption: if ``to`` is not a saved user, or cannot be reached.
    :raises NotPermitted: as :func:`acknowledge_run` does.
    """
    if to is None:
        raise InvalidOption("hand_over() takes the user who gets it, not None.")
    check_is_user("to", to)

    def change(row: EscalationRun, now: datetime, using: str) -> bool:
        last = EscalationEntry.objects.using(using).filter(run=row.pk).order_by("-pk").first()
        targets = [f"user:{to.get_username()}"]
        is_repeated = last is not None and last.kind == Kind.HANDED_OVER and last.targets == targets
        if row.is_over or is_repeated or _is_ended(row, now, using):
            return False
        result = send_page(row, [to], (), f"escalation:{row.pk}:to:{to.pk}:{last.pk if last else 0}", using)
        if not (result.queued or result.held):
            raise InvalidOption(f"{to} cannot be reached: {', '.join(map(str, result.reasons))}. Nothing was changed.")
        row.state, row.ended_at = State.ACTIVE, None
        row.continue_at(now + ANSWER_TIME)
        row.save(using=using)
        values = {"by": by, "targets": targets, "notification_id": result.notification_id, "note": reason}
        note(row, Kind.HANDED_OVER, now, using, **values)
        return True

    return _change(run, by, change)


def escalate(run: EscalationRun, by: Any, reason: str = "") -> bool:
    """Send the next step of an escalation at once. Return False if it is over or has no further step.

    :raises NotPermitted: as :func:`acknowledge_run` does.
    """

    def change(row: EscalationRun, now: datetime, using: str) -> bool:
        if row.is_over or row.next_page is None or _is_ended(row, now, using):
            return False
        row.state = State.ACTIVE
        note(row, Kind.BY_HAND, now, using, by=by, note=reason)
        row.continue_at(now)
        send_next(row, now, using, Report(), by)
        row.save(using=using)
        return True

    return _change(run, by, change)


@read_from_primary()
def start_by_hand(notification: Notification, by: Any, reason: str = "") -> EscalationRun:
    """Escalate a notification now, whatever its priority: its first step is sent at once.

    If it has an escalation already, the next step of that is sent. If its event has none, it is the default one.

    :raises InvalidOption: if it is no saved notification, was cancelled or has expired.
    :raises NotPermitted: as :func:`acknowledge_run` does.
    """
    if _get_first_of(notification) is None:
        raise InvalidOption(f"start_by_hand() takes a saved Notification, not {notification!r:.80}.")
    using = router.db_for_write(EscalationRun)
    with transaction.atomic(using=using):
        rows = Notification.objects.using(using).select_related("cluster").select_for_update(of=("self",))
        first = rows.get(pk=get_first(notification))
        if by is not None:
            check_may_act(first, by)
        if fault := find_end(first, clock.now(using)):
            raise InvalidOption(f"{first} cannot be escalated. {fault}")
        run = EscalationRun.objects.using(using).filter(notification=first.pk).first()
        if run is None:
            event = NOTIFICATION_EVENTS.find(first.event)
            escalation = find_policy(event, first.cluster, using) or DEFAULT_ESCALATION
            # A LOW notification has no pages of its own.
            pages = escalation.list_pages(first.priority) or escalation.list_pages(NotificationPriority.CRITICAL)
            run = start(first, escalation, pages, clock.now(using), using)
        escalate(run, by, reason)
        run.refresh_from_db(using=using)
    return run


@read_from_primary()
def _change(run: EscalationRun, by: Any, change: Callable[[EscalationRun, datetime, str], bool]) -> bool:
    """Lock an escalation, check the permission of a user, and change it. Update the caller's object too."""
    if not isinstance(run, EscalationRun):
        raise InvalidOption(f"Pass an escalation, such as notification.escalation_run, not {run!r:.80}.")
    using = router.db_for_write(EscalationRun)
    with transaction.atomic(using=using):
        rows = EscalationRun.objects.using(using).lock([run.notification_id])
        if not rows:
            raise InvalidOption(f"The escalation {run} was deleted.")
        [row] = rows
        if by is not None:
            check_may_act(row.notification, by)
        changed = change(row, clock.now(using), using)
    run.__dict__.update({name: row.__dict__[name] for name in row.__dict__ if name in run.__dict__ and name[0] != "_"})
    return changed


@read_from_primary()
def _change_together(
    runs: Collection[EscalationRun],
    by: Any,
    change: Callable[[list[EscalationRun], datetime, str], list[EscalationRun]],
) -> list[EscalationRun]:
    """Lock escalations, check the permission of a user for each, and change them."""
    using = router.db_for_write(EscalationRun)
    with transaction.atomic(using=using):
        rows = EscalationRun.objects.using(using).lock([run.notification_id for run in runs])
        if by is not None:
            for row in rows:
                check_may_act(row.notification, by)
        return change(rows, clock.now(using), using)


def _is_ended(run: EscalationRun, now: datetime, using: str) -> bool:
    """End a locked escalation whose notification was cancelled or has expired; return whether it was so."""
    is_ended = end_if_over(run, now, using)
    if is_ended:
        run.save(using=using)
    return is_ended


def check_may_act(notification: Notification, user: Any) -> None:
    """Check that a user may act on the escalation of a notification.

    :raises NotPermitted: unless they are a recipient of it or of one of its pages, active and a member of the cluster,
        or have the permission ``klaxon.change_escalationrun``.
    """
    check_is_user("by", user)
    if has_permission(user, PERMISSION):
        return
    pages = EscalationEntry.objects.filter(run__notification=notification.pk).exclude(notification=None)
    ids = [notification.pk, *pages.values_list("notification_id", flat=True)]
    is_recipient = Delivery.objects.filter(Q(notification__in=ids), recipient=user.pk).exists()
    is_member = get_members(notification.cluster).filter(pk=user.pk, is_active=True).exists()
    if not (is_recipient and is_member):
        raise NotPermitted(
            f"{user!r:.80} may not act on the escalation of {notification}: they are not one of its recipients, and "
            f"do not have the permission {PERMISSION!r}."
        )
