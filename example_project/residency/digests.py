"""Sections of the weekly digest: figures of the week and the number of upcoming shifts.

Places and times are only shown in the app, because duty schedules must not be sent by email.
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
"""The longest shift. A shift that ended after a time began at most this long before it."""


def sections(
    program: Cluster, users: Sequence[Any], digest_kind: str, since: datetime, until: datetime
) -> Mapping[Any, Sequence[Section]]:
    """Return figures of the week, the number of upcoming shifts and urgent unread items, for ``DIGEST_SECTIONS``."""
    programme = Shift.objects.filter(program=program)
    if digest_kind != "weekly" or not programme.exists():
        return {}
    shifts, unread = defaultdict(list), defaultdict(list)
    for shift in programme.filter(resident__in=users, starts_at__gte=since - LONGEST, starts_at__lt=until + WEEK):
        shifts[shift.resident_id].append(shift)
    for item in _find_urgent(program, users):
        unread[item.recipient_id].append(item.title)
    return {
        user.pk: [*_make_week_sections(shifts[user.pk], since, until), *_make_to_do_sections(unread[user.pk])]
        for user in users
    }


def _find_urgent(program: Cluster, users: Sequence[Any]) -> Iterable[InboxItem]:
    items = InboxItem.objects.filter(cluster=program, recipient__in=users).unread()
    return items.filter(priority__lte=NotificationPriority.HIGH).order_by("created_at")


def _make_week_sections(shifts: Sequence[Shift], since: datetime, until: datetime) -> list[Section]:
    if not shifts:
        return []
    done = [shift for shift in shifts if since < shift.ends_at <= until]
    to_come = [shift for shift in shifts if shift.starts_at >= until]
    figures = [f"Hours worked: {sum(shift.hours for shift in done)}", f"Shifts completed: {len(done)}"]
    return [Section("Your week", figures), Section("To come", [f"Shifts in the next seven days: {len(to_come)}"])]


def _make_to_do_sections(titles: Sequence[str]) -> list[Section]:
    return [Section("To be looked at", titles)] if titles else []
