"""The changes that users make to their items, by name: what forms and scripts send as ``do``."""

from collections.abc import Callable, Mapping
from datetime import datetime, time, timedelta
from typing import NamedTuple

from django.db import router
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy

from notifications.models import InboxItem
from notifications.models.inbox import InboxQuerySet

EVENING, MORNING = time(18), time(8)
MAX_SNOOZE_YEARS = 10
FIRST_MOMENT_OF_EVENING = timedelta(minutes=30)


class Change(NamedTuple):
    """A change, and the message after it, which is formatted with the number of changed items.

    :param run: called with the items, the time, and the end of a snooze.
    """

    run: Callable[[InboxQuerySet, datetime, datetime | None], int]
    message: Promise | str = ""


CHANGES: Mapping[str, Change] = {
    "seen": Change(lambda items, now, until: items.mark_seen(now)),
    "read": Change(
        lambda items, now, until: items.mark_read(now),
        ngettext_lazy("%d notification was marked as read.", "%d notifications were marked as read."),
    ),
    "unread": Change(
        lambda items, now, until: items.mark_unread(),
        ngettext_lazy("%d notification was marked as unread.", "%d notifications were marked as unread."),
    ),
    "archive": Change(
        lambda items, now, until: items.archive(now),
        ngettext_lazy("%d notification was archived.", "%d notifications were archived."),
    ),
    "unarchive": Change(
        lambda items, now, until: items.unarchive(),
        ngettext_lazy("%d notification is back in the inbox.", "%d notifications are back in the inbox."),
    ),
    "snooze": Change(
        lambda items, now, until: items.snooze(until, now) if until else 0,
        ngettext_lazy("%d notification was snoozed.", "%d notifications were snoozed."),
    ),
    "unsnooze": Change(
        lambda items, now, until: items.unsnooze(now),
        ngettext_lazy("%d notification is back in the inbox.", "%d notifications are back in the inbox."),
    ),
}

SNOOZE_CHOICES: Mapping[str, Promise] = {
    "hour": _("For one hour"),
    "evening": _("Until this evening"),
    "tomorrow": _("Until tomorrow morning"),
    "week": _("Until next Monday"),
}


def list_snooze_choices(now: datetime) -> dict[str, Promise]:
    """Return the choices with their labels at this time, in the current time zone."""
    is_late = timezone.localdate(_end_of("evening", now)) > timezone.localdate(now)
    return {**SNOOZE_CHOICES, "evening": _("Until tomorrow evening")} if is_late else {**SNOOZE_CHOICES}


def parse_snooze_end(text: str, now: datetime) -> datetime | None:
    """Return the end of a snooze: one of :data:`SNOOZE_CHOICES`, or a time.

    It is None if the text is neither, or the time is not in the future or more than ten years ahead. A time without a
    zone is one in the current time zone.
    """
    if text in SNOOZE_CHOICES:
        return _end_of(text, now)
    try:
        end = parse_datetime(text)
    except ValueError:
        return None
    # The first and the last year cannot be converted to every time zone.
    if end is None or not 0 <= end.year - now.year <= MAX_SNOOZE_YEARS:
        return None
    aware = timezone.make_aware(end) if timezone.is_naive(end) else end
    return aware if aware > now else None


def _end_of(choice: str, now: datetime) -> datetime:
    if choice == "hour":
        return now + timedelta(hours=1)
    today = timezone.localdate(now)
    evening = timezone.make_aware(datetime.combine(today, EVENING))
    if choice == "evening":
        # In the evening, the next evening.
        is_early = now < evening - FIRST_MOMENT_OF_EVENING
        return evening if is_early else timezone.make_aware(datetime.combine(today + timedelta(days=1), EVENING))
    days = 1 if choice == "tomorrow" else 7 - today.weekday()
    return timezone.make_aware(datetime.combine(today + timedelta(days=days), MORNING))


def wake_snoozed(now: datetime, should_stop: Callable[[], bool]) -> None:
    """Put items whose snooze has ended back into their lists, so that open pages show them. A periodic task."""
    items = InboxItem.objects.using(router.db_for_write(InboxItem))
    while items.wake_snoozed(now) and not should_stop():
        pass
