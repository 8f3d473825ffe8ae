"""Do what is due in escalations: send the next page, let an acknowledgement end, or record that nobody has answered.

Each page is one transaction: it locks the row of the escalation, queues the notification and moves on. So a process
that is killed has done all of it or nothing, and no two processes send the same page. An acknowledgement locks the same
row.
"""

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import DatabaseError, router, transaction

from notifications.conf import is_off
from notifications.core import clock
from notifications.core.databases import is_outage, is_temporary_failure, read_from_primary
from notifications.escalation.sending import send_page
from notifications.escalation.start import note
from notifications.escalation.targets import resolve_all
from notifications.events.escalation import Page
from notifications.exceptions import KlaxonError
from notifications.models import EscalationEntry, EscalationRun, Notification
from notifications.signals import escalation_exhausted

logger = logging.getLogger("notifications.escalation")

Kind, State = EscalationEntry.Kind, EscalationRun.State
MAX_LATENESS = timedelta(minutes=5)
"""If a page is later than this, because no worker has run, the following pages are later too. Otherwise several steps
would be sent at once, and nobody would have time to answer."""


@dataclass
class Report:
    """What one run of the engine has done. ``failed`` has the keys of escalations that raised an error."""

    sent: int = 0
    unreachable: int = 0
    exhausted: int = 0
    cancelled: int = 0
    failed: list[int] = field(default_factory=list)


def run_periodically(now: datetime, should_stop: Any) -> None:
    """Do what is due. The periodic task of workers."""
    run_due(should_stop)


@read_from_primary()
def run_due(should_stop: Any = lambda: False) -> Report:
    """Do what is due in all escalations. An error of one is logged, and it is tried again the next time."""
    using, report = router.db_for_write(EscalationRun), Report()
    if is_off():
        return report
    last: list[int] = []
    while not should_stop():
        try:
            if not _run_next(using, report, last):
                break
        except Exception:
            if not last:
                raise
            # The transaction is rolled back. No error of one escalation may stop the others.
            logger.exception("The escalation %d could not go on. It is tried again.", last[-1])
            report.failed.append(last.pop())
    return report


def _run_next(using: str, report: Report, last: list[int]) -> bool:
    """Do what is due in one escalation; return whether there was one.

    :param last: gets the key of the escalation while its transaction runs.
    """
    with transaction.atomic(using=using):
        now = clock.now(using)
        run = EscalationRun.objects.using(using).lock_due(now, but=report.failed)
        if run is None:
            return False
        last.append(run.pk)
        advance(run, now, using, report)
        run.save(using=using)
    last.pop()
    return True


def advance(run: EscalationRun, now: datetime, using: str, report: Report) -> None:
    """Do what is due in a locked escalation, and change it. The caller saves it."""
    if end_if_over(run, now, using):
        report.cancelled += 1
        return
    if run.state == State.ACKNOWLEDGED:
        run.state = State.ACTIVE
        note(run, Kind.WENT_ON, now, using)
    if run.due_at is not None and now - run.due_at > MAX_LATENESS:
        run.base_at += now - run.due_at
    send_next(run, now, using, report)


def end_if_over(run: EscalationRun, now: datetime, using: str) -> bool:
    """End a locked escalation whose notification was cancelled or has expired; return whether it was so.

    The caller saves it.
    """
    if fault := find_end(run.notification, now):
        run.end(State.CANCELLED, now)
        note(run, Kind.CANCELLED, now, using, note=fault)
    return bool(fault)


def find_end(notification: Notification, now: datetime) -> str:
    """Return why the escalation of a notification must not go on; empty if it may."""
    if notification.cancelled_at is not None:
        return "The notification was cancelled."
    if notification.expires_at is not None and notification.expires_at <= now:
        return "The notification has expired."
    return ""


def send_next(run: EscalationRun, now: datetime, using: str, report: Report, by: Any = None) -> None:
    """Send the next page of a locked escalation. If it reaches nobody, send the next step at once.

    After the last page, the escalation is exhausted.
    """
    while (page := run.next_page) is not None:
        is_sent = _send(run, page, now, using, by)
        report.sent += is_sent
        report.unreachable += not is_sent
        run.position += 1
        if is_sent or not _skip_repetitions(run, page):
            run.due_at = run.base_at + run.next_after
            return
        # The next step begins now, and the steps after it keep their distances.
        run.continue_at(now)
    run.end(State.EXHAUSTED, now)
    note(run, Kind.EXHAUSTED, now, using)
    report.exhausted += 1
    _send_signal(run, using)


def _skip_repetitions(run: EscalationRun, page: Page) -> bool:
    """Go to the first page of the next step; return False, and skip nothing, if there is none."""
    later = [index for index in range(run.position, len(run.pages)) if run.pages[index][1] > page.step]
    if later:
        run.position = later[0]
    return bool(later)


def _send(run: EscalationRun, page: Page, now: datetime, using: str, by: Any) -> bool:
    """Send one page, record it, and return whether it is queued for anybody."""
    recipients, faults = resolve_all(page.targets, run.notification, now, using)
    key = f"escalation:{run.pk}:{run.position}"
    values: dict[str, Any] = {"step": page.step, "targets": list(page.targets), "by": by}
    if recipients:
        try:
            with transaction.atomic(using=using):
                result = send_page(run, recipients, page.channels, key, using)
        except KlaxonError as error:
            faults.append(str(error))
        except Exception as error:
            if is_outage(error) or (isinstance(error, DatabaseError) and is_temporary_failure(error)):
                raise
            # It would fail again and again, and the next step would never be sent.
            logger.exception("Step %d of the escalation of %s could not be sent.", page.step, run)
            faults.append(f"{type(error).__name__}: {error}"[:500])
        else:
            if result.queued or result.held:
                values["notification_id"] = result.notification_id
                note(run, Kind.SENT, now, using, **values, note="\n".join(faults))
                return True
            faults.append(f"Nobody can be reached: {', '.join(sorted(map(str, result.reasons))) or 'no recipient'}.")
    note(run, Kind.UNREACHABLE, now, using, **values, note="\n".join(faults))
    logger.error("Step %d of the escalation of %s reaches nobody. %s", page.step, run, " ".join(faults))
    return False


def _send_signal(run: EscalationRun, using: str) -> None:
    try:
        with transaction.atomic(using=using):
            escalation_exhausted.send(sender=EscalationRun, run=run)
    except Exception:
        # Otherwise the escalation would be exhausted again and again.
        logger.exception("A receiver of escalation_exhausted has failed for %s.", run)
