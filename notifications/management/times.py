"""Times as people write them on a command line."""

from datetime import datetime

from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime


def moment(text: str | None, option: str) -> datetime | None:
    """``2026-11-20`` or ``2026-11-20T14:00``, in the site's time zone unless it says so.

    :raises CommandError: if it is no time.
    """
    if text is None:
        return None
    try:
        day = parse_date(text)
        found = datetime.combine(day, datetime.min.time()) if day else parse_datetime(text)
    except ValueError:
        found = None
    if found is None:
        raise CommandError(f"{option} must be a time such as 2026-11-20 or 2026-11-20T14:00, not {text!r}.")
    return timezone.make_aware(found) if timezone.is_naive(found) else found
