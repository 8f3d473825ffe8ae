"""What the weekly digest tells beside the notifications: the week in figures, and how many shifts are to come.

Where and when they are is told in the app alone: duty schedules do not go by mail.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from example_project.residency.models import Shift
from notifications.digests import Section
from notifications.events import NotificationPriority
from notifications.models import Cluster, InboxItem

WEEK = timedelta(days=7)
LONGEST = timedelta(days=2)
"""No shift is longer, so none that ended since a time began longer before it."""


def sections(
    program: Cluster, users: Sequence[Any], gathers: str, since: datetime, until: datetime
) -> Mapping[Any, Sequence[Section]]:
    """``DIGEST_SECTIONS``: hours and shifts of the week, shifts of the next, and what must be looked at."""
    programme = Shift.objects.filter(program=program)
    if gathers != "weekly" or not programme.exists():
        return {}
    shifts, unread = defaultdict(list), defaultdict(list)
    for shift in programme.filter(resident__in=users, starts_at__gte=since - LONGEST, starts_at__lt=until + WEEK):
        shifts[shift.resident_id].append(shift)
    for item in _urgent(program, users):
        unread[item.recipient_id].append(item.title)
    return {user.pk: [*_week(shifts[user.pk], since, until), *_to_do(unread[user.pk])] for user in users}


def _urgent(program: Cluster, users: Sequence[Any]) -> Iterable[InboxItem]:
    items = InboxItem.objects.filter(cluster=program, recipient__in=users).unread()
    return items.filter(priority__lte=NotificationPriority.HIGH).order_by("created_at")


def _week(shifts: Sequence[Shift], since: datetime, until: datetime) -> list[Section]:
    if not shifts:
        return []
    done = [shift for shift in shifts if since < shift.ends_at <= until]
    to_come = [shift for shift in shifts if shift.starts_at >= until]
    figures = [f"Hours worked: {sum(shift.hours for shift in done)}", f"Shifts completed: {len(done)}"]
    return [Section("Your week", figures), Section("To come", [f"Shifts in the next seven days: {len(to_come)}"])]


def _to_do(titles: Sequence[str]) -> list[Section]:
    return [Section("To be looked at", titles)] if titles else []
